#pragma once
/**
 * The second line of I11: the kernel (Landlock) refuses the calling thread, and all that it starts from here on, what lies outside of one
 * folder, whatever mistake dray makes.  The first is base/pathat.h, which never asks for it.
 *
 * Writing, and making, moving and removing names, is left beneath the folder only; reading, beneath the folder and where the system's libraries,
 * authorities and resolver have their files; running programs, nowhere.  What is open stays so.  The kernel does not look at what changes no
 * content and no name: modes, times and stat.
 *
 * There is no way back for a thread, so one that has other folders to work on later has another thread do it: one a pass in dray watch.
 */

#include "base/err.h"

/**
 * confine_check(err): whether this kernel can.
 * Errors     NOT_IMPLEMENTED.
 */
err_code confine_check(struct err *err);

/**
 * confine_to(root, err): ${root} is a descriptor of the folder.  On failure nothing is confined, and the first line stands alone.
 * Errors     NOT_IMPLEMENTED, IO.
 */
err_code confine_to(int root, struct err *err);
