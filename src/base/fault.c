#include "base/fault.h"

#define FAULT_VARIABLE "DRAY_FAULT"

bool
fault_on(const char *name)
{
	const char *list = getenv(FAULT_VARIABLE);
	size_t len = strlen(name);

	while (list) {
		size_t item = strcspn(list, ",");

		if (item == len && memcmp(list, name, len) == 0)
			return true;
		list = list[item] == ',' ? list + item + 1 : NULL;
	}
	return false;
}
