/*-------------------------------------------------------------------------
 *
 * background.h
 *		Answers for which nobody waits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_BACKGROUND_H
#define DASHCACHE_BACKGROUND_H

#include "postgres.h"

#include "read/answer.h"
#include "read/compute.h"
#include "widget/metacache.h"

/* What has become of an answer that was to be warmed. */
typedef enum DcWarmth
{
	DC_WARM_NOW,				/* computed and stored */
	DC_WARM_ALREADY,			/* needed nothing */
	DC_WARM_BY_OTHER,			/* somebody is at it */
	DC_WARM_NOT_STORED
} DcWarmth;

/* What has become of a refresh. */
typedef enum DcRefreshed
{
	DC_REFRESH_DONE,			/* or it is not needed */
	DC_REFRESH_SOON,			/* what was in its way will pass */
	DC_REFRESH_LATER
} DcRefreshed;

extern DcRefreshed dc_background_refresh(uint32 widget, uint64 version,
										 uint32 hash);
extern DcWarmth dc_background_warm(const DcDashboard *dashboard,
								   DcWidget *widget, DcRequest *request,
								   const char **reason);
extern bool dc_background_needed(const DcDashboard *dashboard,
								 DcWidget *widget, Datum tenant, Datum params,
								 const char **reason);
extern bool dc_background_may_pass(const char *reason);
extern const char *dc_background_store(const DcDashboard *dashboard,
									   DcWidget *widget, Datum tenant,
									   Datum params, const char *payload,
									   Size payload_len,
									   const DcComputed *computed);

#endif							/* DASHCACHE_BACKGROUND_H */
