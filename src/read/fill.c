/*-------------------------------------------------------------------------
 *
 * fill.c
 *		After a miss.
 *
 * The answer is computed in the caller's snapshot (compute.c), and then the
 * proof is made, that is, the view that this same snapshot has of each stamp
 * is taken. It does not matter that this happens after the computation.
 * Whatever the snapshot sees was announced before it was taken, and what was
 * announced since is not visible to it, so the view comes out the same at any
 * time; and a writer that commits at any moment in between makes the entry
 * invalid for the snapshots that see it, before or after the entry is stored.
 *
 * Of the sessions that miss the same entry at once one computes and the others
 * wait for it (flight.c), then look again, each with its own snapshot.  A
 * session whose snapshot is too old for the entry, or cannot tell, computes
 * for itself: neither could it use what others store, nor they what it has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "read/fill.h"

#include "attempt.h"
#include "demand.h"
#include "guc.h"
#include "mix.h"
#include "read/answer_stamps.h"
#include "read/compute.h"
#include "read/stale.h"
#include "store/compress.h"
#include "store/estimate.h"
#include "store/flight.h"
#include "store/store.h"

#include "access/xact.h"
#include "common/hashfn.h"

/* May an answer from this snapshot be stored, as far as purges go? */
static bool
no_purge_since(void *arg)
{
	const DcLookup *lookup = arg;

	return dc_purges_seen(lookup->dashboard->name, &lookup->snapshot);
}

/* The limit of the widget's dashboard. */
static DcGroup
group_of(const DcDashboard *dashboard)
{
	DcGroup		group = {0};
	uint32	   *widgets;

	if (dashboard->memory_limit > 0)
	{
		widgets = palloc(sizeof(uint32) * dashboard->nwidgets);
		for (int i = 0; i < dashboard->nwidgets; i++)
			widgets[i] = dashboard->widgets[i].id;
		group.limit = dashboard->memory_limit;
		group.nwidgets = dashboard->nwidgets;
		group.widgets = widgets;
	}
	return group;
}

/*
 * The proof of an answer from the lookup's snapshot, and what it is about; NULL if
 * it cannot be told.
 */
static DcProof *
make_proof(const DcLookup *lookup, DcDependencies **dependencies)
{
	uint32	   *hashes;
	DcProof    *proof;

	*dependencies = dc_answer_dependencies(lookup->widget, lookup->tenant, &hashes);
	proof = palloc0(DC_PROOF_ROOM(*dependencies));
	if (!dc_proof_make(proof, *dependencies, hashes, &lookup->snapshot))
	{
		pfree(proof);
		proof = NULL;
	}
	pfree(hashes);
	return proof;
}

/*
 * Can it be told which changes an answer from this snapshot has seen?  Else it
 * cannot be stored, and where nobody waits for it, it need not be computed.
 */
bool
dc_fill_is_certain(const DcLookup *lookup)
{
	DcDependencies *dependencies;
	DcProof    *proof = make_proof(lookup, &dependencies);

	pfree(dependencies);
	if (proof != NULL)
		pfree(proof);
	return proof != NULL;
}

/*
 * Store a computed answer.  Returns the reason why it could not be stored, or
 * NULL.
 */
const char *
dc_fill_store(DcLookup *lookup, const char *payload, Size payload_len,
			  const DcComputed *computed)
{
	DcWidget   *widget = lookup->widget;
	DcDependencies *dependencies;
	DcProof    *proof = make_proof(lookup, &dependencies);
	DcContent	content;

	if (!computed->same_standing || proof == NULL)
		return "uncertain";
	/* thousands of tables */
	if (DC_PROOF_SIZE(proof, dependencies) > PG_UINT16_MAX)
		return "too large";

	content.proof = proof;
	content.proof_len = DC_PROOF_SIZE(proof, dependencies);
	content.dependencies = dependencies;
	content.dependencies_len = DC_DEPENDENCIES_SIZE(dependencies->n);
	content.answer_len = payload_len;
	content.payload = dc_compress(payload, payload_len, &content.payload_len);
	if (content.payload == NULL)
	{
		content.payload = payload;
		content.payload_len = payload_len;
	}
	content.background = lookup->background;
	content.missed = !lookup->background && !lookup->refresh;
	content.digest = dc_proof_digest(proof, dependencies, widget->version);
	content.etag = lookup->answer->etag;
	content.generated_at = computed->generated_at;
	content.fresh_at = dc_stale_fresh_at(proof, dependencies, computed);
	content.valid_from = computed->valid_from;
	content.expires_at = computed->expires_at;
	content.group = group_of(lookup->dashboard);
	content.compute_us = (uint32) Min(computed->duration_us, PG_UINT32_MAX);

	switch (dc_store_put(&lookup->key, &content, no_purge_since, lookup))
	{
		case DC_PUT_STORED:
			dc_stats_add(widget->stats, DC_COUNT_FILLS, 1);
			if (lookup->dashboard->warm_on_start)
				dc_demand_uses();
			ereport(DEBUG1,
					(errmsg_internal("dashcache fill: widget \"%s\" of dashboard \"%s\", %zu bytes",
									 widget->name, lookup->dashboard->name,
									 payload_len)));
			return NULL;
		case DC_PUT_TOO_LARGE:
			return "too large";
		case DC_PUT_NO_MEMORY:
			return "no memory";
		case DC_PUT_NOT_PERMITTED:
			return "uncertain";
		case DC_PUT_SUPERSEDED:
			break;
	}
	return NULL;
}

/* Compute the answer; the cache is not concerned. */
void
dc_fill_compute(DcLookup *lookup, DcComputed *computed)
{
	StringInfo	out = lookup->out;
	DcAnswer   *answer = lookup->answer;
	int			start = out->len;

	dc_compute(lookup->dashboard, lookup->widget, lookup->tenant,
			   lookup->params, out, computed);
	answer->source = DC_FROM_DATABASE;
	answer->generated_at = computed->generated_at;
	answer->expires_at = computed->expires_at;
	answer->compute_us = computed->duration_us;
	answer->etag = hash_bytes_extended((const unsigned char *) out->data + start,
									   out->len - start, 0);
}

/* Errors that must get through: not about the widget, or about what it may do. */
static bool
must_be_thrown(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION ||
		error->sqlerrcode == ERRCODE_OUT_OF_MEMORY ||
		error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE ||
		error->sqlerrcode == ERRCODE_ASSERT_FAILURE;
}

/* An answer being computed, where the last one is at hand. */
typedef struct Computation
{
	DcLookup   *lookup;
	DcComputed *computed;
} Computation;

static void
compute(void *arg)
{
	Computation *computation = arg;

	dc_fill_compute(computation->lookup, computation->computed);
}

/* Compute the answer; if that fails, serve the last one.  False in that case. */
static bool
compute_or_last_answer(DcLookup *lookup, DcComputed *computed)
{
	Computation computation = {lookup, computed};
	int			start = lookup->out->len;
	ErrorData  *error = dc_attempt(compute, &computation);

	if (error == NULL)
		return true;
	lookup->out->len = start;
	/* it may have become too old, or have been evicted */
	if (must_be_thrown(error) || !dc_lookup_last_answer(lookup, true))
		ReThrowError(error);
	ereport(LOG,
			(errmsg("dashcache serves the last answer of widget \"%s\" of dashboard \"%s\", since computing it failed",
					lookup->widget->name, lookup->dashboard->name),
			 errdetail_internal("%s", error->message)));
	FreeErrorData(error);
	return false;
}

/*
 * Compute the answer and store it, or serve the last one after an error; false
 * if it cannot be stored.
 */
static bool
compute_and_store(DcLookup *lookup)
{
	StringInfo	out = lookup->out;
	int			start = out->len;
	DcComputed	computed;
	const char *refused;

	if (lookup->keep_last && !IsInParallelMode() && dc_lookup_last_answer(lookup, false))
	{
		if (!compute_or_last_answer(lookup, &computed))
			return true;
	}
	else
		dc_fill_compute(lookup, &computed);
	if (!lookup->background)
	{
		dc_stats_add(lookup->widget->stats, DC_COUNT_MISSES, 1);
		dc_estimate_miss();
	}
	refused = dc_fill_store(lookup, out->data + start, out->len - start, &computed);
	if (refused != NULL)
		lookup->reason = refused;
	lookup->answer->reason = lookup->reason;
	return refused == NULL;
}

/* The key of the flight: what has the same may be computed by one for all. */
uint64
dc_fill_flight_key(const DcKey *key)
{
	uint64		hash = hash_combine64(key->version,
									  ((uint64) key->hash << 32) | key->tenant_hash);

	return Max(dc_mix64(hash), 1);
}

/*
 * Compute, as the one for whom others wait.  False if that would be of no use
 * to them, by what is in the cache now.
 */
bool
dc_fill_for_all(DcLookup *lookup)
{
	volatile bool answered = false;
	volatile bool unstored = false;

	PG_TRY();
	{
		/* somebody may have been faster between our look and our claim */
		if (!lookup->refresh && dc_lookup_try_cache(lookup))
			answered = true;
		else if (!lookup->alone)
		{
			unstored = !compute_and_store(lookup);
			answered = true;
		}
	}
	PG_CATCH();
	{
		dc_flight_release(false);
		PG_RE_THROW();
	}
	PG_END_TRY();
	dc_flight_release(unstored);
	return answered;
}

/*
 * After a miss: compute, or wait for who does and look again, until there is
 * an answer.
 */
void
dc_fill_or_wait(DcLookup *lookup)
{
	TimestampTz deadline = DT_NOBEGIN;
	uint64		key = dc_fill_flight_key(&lookup->key);
	DcFlight	other;

	while (!lookup->alone)
	{
		DcFlightClaim claim = dc_flight_claim(key, &other);
		DcFlightEnd end;

		if (claim == DC_FLIGHT_MINE)
		{
			if (dc_fill_for_all(lookup))
				return;
			break;
		}
		/* who asks for a new answer is not content with another's */
		if (claim == DC_FLIGHT_NONE || lookup->refresh || dc_wait_timeout_ms == 0)
			break;

		if (deadline == DT_NOBEGIN)
			deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												   dc_wait_timeout_ms);
		end = dc_flight_wait(&other, deadline);
		if (dc_lookup_try_cache(lookup))
			return;
		if (end != DC_FLIGHT_ENDED)
			break;
	}
	compute_and_store(lookup);
}
