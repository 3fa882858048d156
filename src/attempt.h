/*-------------------------------------------------------------------------
 *
 * attempt.h
 *		Doing what may fail.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_ATTEMPT_H
#define DASHCACHE_ATTEMPT_H

#include "postgres.h"

typedef void (*DcAttempt) (void *arg);

extern ErrorData *dc_attempt(DcAttempt work, void *arg);
extern ErrorData *dc_attempt_query(DcAttempt work, void *arg);

#endif							/* DASHCACHE_ATTEMPT_H */
