/*-------------------------------------------------------------------------
 *
 * trace.h
 *		What is asked of a cache, made up.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TRACES_TRACE_H
#define TRACES_TRACE_H

#include "postgres.h"

#include "cache.h"

typedef struct Trace
{
	const char *name;
	const char *what;
	Item	   *items;
	int			nitems;
	uint64		bytes;			/* of all items */
	int32	   *events;			/* an access to an item; or, below zero, a
								 * change of tenant -1 - event */
	int			nevents;
} Trace;

extern const int ntraces;

extern void trace_make(Trace *trace, int number, uint64 seed, int naccesses);
extern void trace_free(Trace *trace);

#endif							/* TRACES_TRACE_H */
