#pragma once
/** What a fuzz target is: one function, called with arbitrary bytes, that must return 0 and must not stop the process. */

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
