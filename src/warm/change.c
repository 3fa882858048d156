/*-------------------------------------------------------------------------
 *
 * change.c
 *		Computing again what is in use.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/change.h"

/* Do what sessions have asked for. */
void
dc_change_refresh_queued(void)
{
}

/*
 * Compute again what was in use and has changed.  Returns when to look again.
 */
TimestampTz
dc_change_refresh_changed(void)
{
	return DT_NOEND;
}
