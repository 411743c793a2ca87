#pragma once
/*
 * The threads of the simulation are fibers of one thread (sched.c), so what src/base keeps for each thread is put where sched.c finds it, and changes
 * hands with the turn.  Included before everything else, by the build.
 */
#define _Thread_local __attribute__((section("fiber_local")))
