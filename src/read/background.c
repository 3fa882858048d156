/*-------------------------------------------------------------------------
 *
 * background.c
 *		Answers for which nobody waits.
 *
 * They are computed for who comes next: since a reader has asked for it
 * (stale.c), or to warm the cache (warm/).  What is there and right is left
 * alone, and so is what somebody else computes at the moment.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "read/background.h"

#include "preload.h"
#include "read/fill.h"
#include "read/lookup.h"
#include "read/stale.h"
#include "read/tenant.h"
#include "store/flight.h"
#include "store/store.h"

#include "common/hashfn.h"
#include "utils/timestamp.h"

/* The snapshot cannot tell, as the next one may. */
static const char uncertain[] = "uncertain";

/* Is there an entry that is right, and not near its end? */
static bool
needs_no_refresh(const DcLookup *lookup)
{
	DcSharedEntry *entry = dc_store_find(&lookup->key);
	TimestampTz now = GetCurrentTimestamp();
	DcCulprit	culprit;
	bool		good;

	if (entry == NULL)
		return false;
	good = now < entry->expires_at && now < dc_stale_refresh_at(entry) &&
		dc_proof_check(DC_ENTRY_PROOF(entry), DC_ENTRY_DEPENDENCIES(entry), &lookup->snapshot, &culprit) == DC_VALID;
	dc_store_unlock(&lookup->key);
	return good;
}

/*
 * Compute in the background, unless that is not needed, or somebody is at it.
 * The reason why an answer was not stored is then in lookup->reason.
 */
static DcWarmth
compute_if_needed(DcLookup *lookup)
{
	static const char background[] = "refresh";
	DcFlight	other;

	if (dc_flight_claim(dc_fill_flight_key(&lookup->key), &other) != DC_FLIGHT_MINE)
		return DC_WARM_BY_OTHER;
	if (needs_no_refresh(lookup))
	{
		dc_flight_release(false);
		return DC_WARM_ALREADY;
	}
	if (!dc_fill_is_certain(lookup))
	{
		dc_flight_release(false);
		lookup->reason = uncertain;
		return DC_WARM_NOT_STORED;
	}
	lookup->reason = background;
	(void) dc_fill_for_all(lookup);
	dc_lookup_log(lookup, "refresh");
	return lookup->reason == background ? DC_WARM_NOW : DC_WARM_NOT_STORED;
}

static void
init_background(DcLookup *lookup, const DcDashboard *dashboard, DcWidget *widget,
				StringInfo out, DcAnswer *answer)
{
	memset(lookup, 0, sizeof(*lookup));
	memset(answer, 0, sizeof(*answer));
	lookup->dashboard = dashboard;
	lookup->widget = widget;
	lookup->refresh = true;
	lookup->background = true;
	lookup->out = out;
	lookup->answer = answer;
}

/* Compute an answer anew. */
static DcRefreshed
refresh(DcLookup *lookup)
{
	if (dc_lookup_may_use_cache(lookup))
	{
		switch (compute_if_needed(lookup))
		{
			case DC_WARM_NOW:
			case DC_WARM_ALREADY:
				return DC_REFRESH_DONE;
			case DC_WARM_BY_OTHER:
				return DC_REFRESH_SOON;
			case DC_WARM_NOT_STORED:
				break;
		}
	}
	return dc_background_may_pass(lookup->reason) ? DC_REFRESH_SOON : DC_REFRESH_LATER;
}

/*
 * Compute anew what a reader has asked for (refresh_queue.c), unless that has
 * been done, or somebody is at it.  Called in a transaction with an active
 * snapshot; errors are the caller's.
 */
DcRefreshed
dc_background_refresh(uint32 widget_id, uint64 version, uint32 hash)
{
	DcDashboard *dashboard = dc_metacache_dashboard_of(widget_id);
	DcWidget   *widget;
	List	   *keys;
	ListCell   *lc;
	DcRefreshed done = DC_REFRESH_DONE;

	if (dashboard == NULL || !dc_preloaded)
		return DC_REFRESH_DONE;
	widget = dc_metacache_widget_by_id(dashboard, widget_id);
	if (widget == NULL || widget->version != version)
		return DC_REFRESH_DONE;

	keys = dc_store_keys(widget_id, version, hash);
	foreach(lc, keys)
	{
		DcLookup	lookup;
		DcAnswer	answer;
		StringInfoData out;

		initStringInfo(&out);
		init_background(&lookup, dashboard, widget, &out, &answer);
		lookup.key = *(DcKey *) lfirst(lc);
		lookup.tenant = dc_tenant_from_bytes(&widget->tenant_type,
											 lookup.key.tenant,
											 lookup.key.tenant_len);
		lookup.params = dc_params_from_bytes(lookup.key.params, lookup.key.params_len);
		done = Max(done, refresh(&lookup));
	}
	return done;
}

/*
 * Compute and store the answer for one widget and tenant, unless it is there
 * and right, or somebody is at it.  If it could not be stored, *reason says why.
 * Called in a transaction with an active snapshot; errors are the caller's.
 */
DcWarmth
dc_background_warm(const DcDashboard *dashboard, DcWidget *widget,
				   DcRequest *request, const char **reason)
{
	DcLookup	lookup;
	DcAnswer	answer;
	StringInfoData out;
	DcWarmth	done = DC_WARM_NOT_STORED;

	initStringInfo(&out);
	init_background(&lookup, dashboard, widget, &out, &answer);
	lookup.tenant = dc_tenant_of_request(request, widget);
	lookup.params = request->params;
	dc_lookup_make_key(&lookup);
	if (dc_lookup_may_use_cache(&lookup))
		done = compute_if_needed(&lookup);
	*reason = lookup.reason;
	pfree(out.data);
	return done;
}

/* A lookup for a tenant that is of the type that the widget's query takes. */
static bool
init_converted(DcLookup *lookup, const DcDashboard *dashboard, DcWidget *widget,
			   Datum tenant, Datum params, DcAnswer *answer)
{
	init_background(lookup, dashboard, widget, NULL, answer);
	lookup->tenant = tenant;
	lookup->params = params;
	dc_lookup_make_key(lookup);
	return dc_lookup_may_use_cache(lookup);
}

/*
 * Is an answer to be computed in the background: missing, not right, or near its
 * end?  False, too, where it could not be stored; *reason then says why, and else
 * is NULL.
 */
bool
dc_background_needed(const DcDashboard *dashboard, DcWidget *widget,
					 Datum tenant, Datum params, const char **reason)
{
	DcLookup	lookup;
	DcAnswer	answer;

	*reason = NULL;
	if (!init_converted(&lookup, dashboard, widget, tenant, params, &answer))
		*reason = lookup.reason;
	else if (needs_no_refresh(&lookup))
		return false;
	else if (!dc_fill_is_certain(&lookup))
		*reason = uncertain;
	return *reason == NULL;
}

/*
 * Is this a reason not to store an answer that will pass?  Only what was seen
 * before the computation is taken for that: what is only seen after it would be
 * computed in vain again.
 */
bool
dc_background_may_pass(const char *reason)
{
	return reason == uncertain;
}

/*
 * Store an answer that was computed in the active snapshot, by whatever means.
 * Returns the reason why it could not be stored, or NULL.
 */
const char *
dc_background_store(const DcDashboard *dashboard, DcWidget *widget, Datum tenant,
					Datum params, const char *payload, Size payload_len,
					const DcComputed *computed)
{
	DcLookup	lookup;
	DcAnswer	answer;

	if (!init_converted(&lookup, dashboard, widget, tenant, params, &answer))
		return lookup.reason;
	answer.etag = hash_bytes_extended((const unsigned char *) payload,
									  payload_len, 0);
	return dc_fill_store(&lookup, payload, payload_len, computed);
}
