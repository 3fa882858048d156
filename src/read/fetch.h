/*-------------------------------------------------------------------------
 *
 * fetch.h
 *		The path of a read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_FETCH_H
#define DASHCACHE_FETCH_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "widget/metacache.h"

/* What a read asks for. */
typedef struct DcRequest
{
	Datum		tenant;			/* of the type the caller has given */
	Oid			tenant_type;
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
	double		compute_ms;
	uint64		etag;
} DcAnswer;

extern void dc_fetch(const DcDashboard *dashboard, DcWidget *widget,
					 DcRequest *request, StringInfo out, DcAnswer *answer);
extern int	dc_fetch_refresh(uint32 widget, uint64 version, uint32 hash);
extern Datum dc_fetch_tenant(DcRequest *request, DcWidget *widget);
extern uint32 dc_tenant_bytes(const DcTenantType *type, Datum *tenant,
							  const char **bytes);
extern uint32 dc_tenant_hash(DcTenantType *type, Datum tenant,
							 const char *bytes, uint32 len);
extern Datum dc_tenant_from_bytes(const DcTenantType *type,
								  const char *bytes, uint32 len);
extern Datum dc_params_from_bytes(const char *bytes, uint32 len);
extern uint32 dc_definition_stamp(uint32 widget);
extern void dc_purge_announce(const char *dashboard);

#endif							/* DASHCACHE_FETCH_H */
