/*-------------------------------------------------------------------------
 *
 * answer.h
 *		What a read asks for, and what it gets.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_ANSWER_H
#define DASHCACHE_ANSWER_H

#include "postgres.h"

#include "widget/settings.h"

#include "utils/timestamp.h"

/* What a read asks for. */
typedef struct DcRequest
{
	Datum		tenant;			/* of the type the caller has given */
	Oid			tenant_type;
	const DcSettings *settings; /* to read it under; NULL: the session's */
	Datum		params;			/* a jsonb object, perhaps with a short header */
	bool		refresh;

	/* the tenant in the type that widgets want it; kept from one to the next */
	Oid			converted_type;
	Datum		converted;
} DcRequest;

typedef enum DcAnswerSource
{
	DC_FROM_CACHE,
	DC_FROM_STALE,				/* as max_stale allows */
	DC_FROM_DATABASE
} DcAnswerSource;

/* One widget's answer; its bytes are appended to the caller's buffer. */
typedef struct DcAnswer
{
	DcAnswerSource source;
	const char *reason;			/* NULL: it is the one from the cache */
	TimestampTz generated_at;
	TimestampTz expires_at;
	uint64		compute_us;
	uint64		etag;
} DcAnswer;

#endif							/* DASHCACHE_ANSWER_H */
