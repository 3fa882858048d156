/*-------------------------------------------------------------------------
 *
 * lookup.c
 *		Asking the cache.
 *
 * A lookup is one widget's answer on its way.  The cache may be asked unless
 * something forbids it (bypass_reason).  Then there may be an entry for the
 * key (store.c), which serves if it has not expired and its proof holds for
 * the caller's snapshot (validity.c).
 *
 * Locking: the entry's partition, shared, while it is judged and copied.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "read/lookup.h"

#include "consistency/writer.h"
#include "guc.h"
#include "hit_path.h"
#include "preload.h"
#include "read/answer_stamps.h"
#include "read/stale.h"
#include "read/tenant.h"
#include "store/compress.h"
#include "store/estimate.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"

/* Has this transaction written, or may it have, to what the widget reads? */
static bool
has_own_writes(const DcWidget *widget)
{
	TransactionId own = GetTopTransactionIdIfAny();

	if (!TransactionIdIsValid(own))
		return false;

	/* Changes that nobody watches, and changes of the definition itself. */
	if (widget->untracked ||
		TransactionIdEquals((TransactionId) widget->version, own))
		return true;

	/* What the leader of a parallel query has written is not known here. */
	if (IsParallelWorker())
		return true;

	/* An apply worker fires no statement triggers before its row triggers. */
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return true;

	/* A statement on a parent fires no statement trigger of its partitions. */
	for (int i = 0; i < widget->nwatches; i++)
	{
		if (widget->watches[i].inherits ||
			dc_writer_wrote(widget->watches[i].relid))
			return true;
	}
	return false;
}

/* Recovery never begins again in a process that has seen its end. */
static DC_HIT_DATA bool recovery_over = false;

/* Why the cache must not be asked; NULL if it may. */
static DC_HIT_PATH const char *
bypass_reason(DcWidget *widget, Snapshot snapshot)
{
	if (!dc_preloaded)
		return "not preloaded";
	if (!dc_enabled)
		return "disabled";
	if (widget->never_cached)
		return "ttl 0";
	if (unlikely(!recovery_over) && RecoveryInProgress())
		return "standby";
	recovery_over = true;
	if (widget->broken || !dc_metacache_standing_same(widget))
		return "uncertain";
	if (IsolationIsSerializable())
		return "serializable";
	if (snapshot->snapshot_type != SNAPSHOT_MVCC || snapshot->takenDuringRecovery)
		return "old snapshot";
	if (has_own_writes(widget))
		return "own writes";
	return NULL;
}

/*
 * Should there be an entry for a tenant that is spelled differently but equal,
 * let the key be that one.
 */
static void
use_alias(DcTenantType *type, DcLookup *lookup)
{
	uint32		len;
	char	   *alias = dc_store_alias(&lookup->key, &len);

	if (alias != NULL &&
		DatumGetBool(FunctionCall2Coll(&type->equal, type->collation,
									   dc_tenant_from_bytes(type, alias, len),
									   lookup->tenant)))
	{
		lookup->key.tenant = alias;
		lookup->key.tenant_len = len;
	}
}

/*
 * Make the key under which the answer is looked for, and send for the memory
 * that is the first to be looked at.
 */
DC_HIT_PATH void
dc_lookup_make_key(DcLookup *lookup)
{
	static const char no_params[] = "";
	DcWidget   *widget = lookup->widget;
	DcKey	   *key = &lookup->key;

	key->database = MyDatabaseId;
	key->widget = widget->id;
	key->version = widget->version;
	key->tenant_len = dc_tenant_bytes(&widget->tenant_type, &lookup->tenant,
									  &key->tenant);
	key->tenant_hash = dc_tenant_hash(&widget->tenant_type, lookup->tenant,
									  key->tenant, key->tenant_len);
	key->params = no_params;
	key->params_len = 0;
	if (widget->uses_params)
	{
		Jsonb	   *params = DatumGetJsonbP(lookup->params);

		key->params = VARDATA(params);
		key->params_len = VARSIZE(params) - VARHDRSZ;
	}
	key->hash = dc_store_hash(key);
	if (dc_preloaded)
	{
		dc_store_prefetch(key);
		dc_stats_prefetch(widget->stats);
	}
}

/* Send for the entry; best called a while after the key was made. */
DC_HIT_PATH void
dc_lookup_prefetch(const DcLookup *lookup)
{
	if (dc_preloaded)
		dc_store_prefetch_entry(&lookup->key);
}

/*
 * May the cache be asked, for this snapshot and by this key?  Else says why not.
 */
DC_HIT_PATH bool
dc_lookup_may_use_cache(DcLookup *lookup)
{
	Snapshot	snapshot = GetActiveSnapshot();
	DcWidget   *widget = lookup->widget;

	lookup->reason = bypass_reason(widget, snapshot);
	if (lookup->reason != NULL)
		return false;
	dc_snapshot_init(&lookup->snapshot, snapshot);
	if (!dc_snapshot_sees(&lookup->snapshot, widget->version))
	{
		lookup->reason = "old snapshot";
		return false;
	}
	if (widget->tenant_type.by_equality)
		use_alias(&widget->tenant_type, lookup);
	return true;
}

/* Is an entry from the future of a transaction that asks for the time? */
static bool
too_new_for_clock(const DcWidget *widget, const DcSharedEntry *entry)
{
	return widget->uses_clock &&
		GetCurrentTransactionStartTimestamp() < dc_entry_valid_from(entry);
}

/*
 * Does an entry serve, as nearly all do?  Its partition is locked.  False means:
 * ask dc_proof_check().
 */
static pg_attribute_always_inline bool
holds_at_once(const DcLookup *lookup, const DcSharedEntry *entry)
{
	const DcSharedDefinition *definition = dc_entry_definition(entry);
	DcRemembered *remembered = &lookup->widget->remembered;

	if (unlikely(remembered->definition != definition->number))
	{
		dc_dependencies_remember(remembered, definition->number,
								 DC_ENTRY_DEPENDENCIES(entry));
		return false;
	}
	return dc_proof_holds_remembered(DC_ENTRY_PROOF(entry), DC_ENTRY_DEPENDENCIES(entry),
									 remembered, &lookup->snapshot);
}

/* Judge an entry for the lookup's snapshot.  Its partition is locked. */
static pg_attribute_always_inline DcVerdict
judge(const DcLookup *lookup, const DcSharedEntry *entry, DcCulprit *culprit)
{
	if (too_new_for_clock(lookup->widget, entry))
		return DC_OLD_SNAPSHOT;
	if (likely(holds_at_once(lookup, entry)))
		return DC_VALID;
	return dc_proof_check(DC_ENTRY_PROOF(entry), DC_ENTRY_DEPENDENCIES(entry),
						  &lookup->snapshot, culprit);
}

/*
 * Copy an entry's answer.  Its partition is locked; what is compressed is left
 * for finish_serving(), when it is not.
 */
static pg_attribute_always_inline void
serve(DcLookup *lookup, DcSharedEntry *entry, TimestampTz now,
	  DcAnswerSource source, const char *reason)
{
	DcAnswer   *answer = lookup->answer;

	lookup->compressed = NULL;
	answer->source = source;
	answer->reason = reason;
	answer->generated_at = entry->generated_at;
	answer->expires_at = entry->expires_at;
	answer->compute_us = entry->compute_us;
	answer->etag = entry->etag;
	if (entry->payload_len == entry->answer_len)
	{
		dc_entry_copy(entry, dc_append_room(lookup->out, entry->payload_len));
	}
	else
	{
		lookup->compressed_len = entry->payload_len;
		lookup->compressed = dc_compressed_room(entry->payload_len);
		dc_entry_copy(entry, lookup->compressed);
	}

	/* last, since atomics let the processor do nothing ahead of them */
	dc_store_used(entry, now);
	dc_estimate_hit(entry, now, source == DC_FROM_STALE);
	if (source == DC_FROM_CACHE)
		dc_stats_hit(lookup->widget->stats, entry->compute_us);
	else
	{
		dc_stats_add(lookup->widget->stats, DC_COUNT_STALE_HITS, 1);
		dc_stats_add(lookup->widget->stats, DC_COUNT_SAVED_US, entry->compute_us);
	}
}

static inline void
finish_serving(DcLookup *lookup)
{
	if (lookup->compressed != NULL)
		dc_decompress(lookup->compressed, lookup->compressed_len, lookup->out);
}

/*
 * Try to answer from the cache.  If that cannot be, says why in lookup->reason.
 */
DC_HIT_PATH bool
dc_lookup_try_cache(DcLookup *lookup)
{
	TimestampTz now = GetCurrentTimestamp();
	DcSharedEntry *entry = dc_store_find(&lookup->key);
	DcWidget   *widget = lookup->widget;
	DcVerdict	verdict = DC_VALID;
	DcCulprit	culprit;
	const char *reason = NULL;
	bool		served;
	bool		first = false;
	bool		asked = false;

	lookup->alone = false;
	if (entry == NULL)
	{
		lookup->reason = "cold";
		return false;
	}

	/* what has expired need not be judged, but to be served nevertheless */
	if (now < entry->expires_at || widget->max_stale_us > 0)
		verdict = judge(lookup, entry, &culprit);
	if (now >= entry->expires_at)
		reason = "expired";
	else
	{
		switch (verdict)
		{
			case DC_VALID:
				break;
			case DC_CHANGED:
				reason = "changed";
				first = dc_entry_mark(entry, DC_MARK_OUTDATED);
				break;
			case DC_OLD_SNAPSHOT:
				reason = "old snapshot";
				lookup->alone = true;
				break;
			case DC_UNCERTAIN:
				reason = "uncertain";
				lookup->alone = true;
				break;
		}
	}

	served = reason == NULL || dc_stale_usable(widget, &lookup->snapshot, entry, verdict, now);
	if (served)
	{
		serve(lookup, entry, now,
			  reason == NULL ? DC_FROM_CACHE : DC_FROM_STALE, reason);
		if (reason != NULL || now >= dc_stale_refresh_at(entry))
			asked = dc_stale_ask_for_refresh(entry);
	}
	dc_store_unlock(&lookup->key);

	if (served)
		finish_serving(lookup);
	if (first)
		dc_answer_changed(widget, lookup->tenant, &culprit);
	if (asked)
		dc_stale_wake_refreshers(lookup->dashboard, widget);
	lookup->reason = reason;
	return served;
}

/*
 * Is there an answer that max_stale allows in place of an error?  With "really",
 * serve it.
 */
bool
dc_lookup_last_answer(DcLookup *lookup, bool really)
{
	DcSharedEntry *entry = dc_store_find(&lookup->key);
	TimestampTz now = GetCurrentTimestamp();
	DcVerdict	verdict;
	DcCulprit	culprit;
	bool		usable;

	if (entry == NULL)
		return false;
	verdict = judge(lookup, entry, &culprit);
	usable = dc_stale_usable(lookup->widget, &lookup->snapshot, entry, verdict, now);
	if (usable && really)
		serve(lookup, entry, now, DC_FROM_STALE,
			  now >= entry->expires_at ? "expired" :
			  verdict == DC_CHANGED ? "changed" :
			  verdict == DC_UNCERTAIN ? "uncertain" : lookup->reason);
	dc_store_unlock(&lookup->key);
	if (usable && really)
		finish_serving(lookup);
	return usable;
}

/* For who debugs: what has become of a lookup. */
DC_HIT_PATH void
dc_lookup_log(const DcLookup *lookup, const char *what)
{
	const char *reason = lookup->answer->reason;

	/* ereport() would find that out with more ado */
	if (likely(!message_level_is_interesting(DEBUG1)))
		return;
	ereport(DEBUG1,
			(errmsg_internal("dashcache %s: widget \"%s\" of dashboard \"%s\"%s%s%s",
							 what, lookup->widget->name, lookup->dashboard->name,
							 reason == NULL ? "" : " (",
							 reason == NULL ? "" : reason,
							 reason == NULL ? "" : ")")));
}
