/*-------------------------------------------------------------------------
 *
 * validity.c
 *		May an answer serve, or be stored from, this snapshot?
 *
 * An answer is a function of the rows that its query reads.  Two snapshots
 * that see the same writers of those rows therefore give the same answer.  A
 * stamp lists the writers; a snapshot's view of a stamp (DcStampView) says
 * which of them it sees.  So the one rule of this file is:
 *
 *		an entry serves a snapshot if, for each stamp that the entry depends
 *		on, the snapshot's view equals the view it was computed with.
 *
 * Nothing is said about which of the two snapshots is older: an old snapshot
 * may be served from a newer entry, if nothing has changed in between.
 *
 * A view cannot always be had.  Writers leave a stamp's ring, and of those it
 * must be known that the snapshot sees them all (or that they failed, which
 * comes to the same).  Where that is not certain the answer is "uncertain":
 * computed, and not stored.
 *
 * A writer that failed counts like one that committed: to a snapshot taken
 * after its end it is "seen".  That costs a miss and keeps the commit log out
 * of it.
 *
 * Locking: none but what stamp.c takes, and ProcArrayLock in rare cases.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "consistency/validity.h"

#include "consistency/stamp.h"
#include "hit_path.h"
#include "mix.h"

#include "access/transam.h"
#include "access/xact.h"
#include "common/hashfn.h"

StaticAssertDecl(DC_STAMP_RING <= 16, "DcStampView.later has a bit for each");

/* Widen a snapshot's bounds.  "from" must be an MVCC snapshot. */
DC_HIT_PATH void
dc_snapshot_init(DcSnapshot *snapshot, Snapshot from)
{
	Assert(from->snapshot_type == SNAPSHOT_MVCC);

	snapshot->snapshot = from;
	snapshot->next = dc_xid_next();
	snapshot->xmin = dc_xid_widen(from->xmin, snapshot->next);
	snapshot->xmax = dc_xid_widen(from->xmax, snapshot->next);
}

/*
 * Had this top-level transaction ended when the snapshot was taken?
 *
 * Unlike XidInMVCCSnapshot() this never needs to look up a parent: every
 * top-level transaction is in xip, also in a snapshot that has lost track of
 * subtransactions.
 */
DC_HIT_PATH bool
dc_snapshot_sees(const DcSnapshot *snapshot, uint64 xid)
{
	Snapshot	s = snapshot->snapshot;

	if (xid < snapshot->xmin)
		return true;
	if (xid >= snapshot->xmax)
		return false;
	/* a snapshot leaves out the transaction that takes it */
	if (TransactionIdEquals(GetTopTransactionIdIfAny(), (TransactionId) xid))
		return false;
	for (uint32 i = 0; i < s->xcnt; i++)
	{
		if (TransactionIdEquals(s->xip[i], (TransactionId) xid))
			return false;
	}
	return true;
}

/* Does a snapshot see a writer? */
typedef enum Sight
{
	SEEN,
	NOT_SEEN,
	PARTLY_SEEN					/* neither; see below */
} Sight;

/*
 * Does the snapshot see a writer in a stamp's ring?
 *
 * An unversioned change (TRUNCATE) is there for all as soon as its transaction
 * has ended, while what else the transaction did is not there for snapshots
 * taken before.  So such a snapshot sees the writer in part.  Whoever computes
 * an answer from the table holds a lock on it that the writer must wait for,
 * so that the writer cannot end between the computation and this question.
 */
static Sight
sees_writer(const DcSnapshot *snapshot, uint64 writer)
{
	uint64		xid = DC_WRITER_XID(writer);

	if (dc_snapshot_sees(snapshot, xid))
		return SEEN;
	if ((writer & DC_WRITER_UNVERSIONED) && !dc_xid_running(xid))
		return PARTLY_SEEN;
	return NOT_SEEN;
}

/*
 * Are all transactions up to "bound" that the snapshot does not see still
 * running?  Then none of them is among those that were known to have ended.
 */
static bool
unseen_still_run(const DcSnapshot *snapshot, uint64 bound)
{
	Snapshot	s = snapshot->snapshot;

	if (bound >= snapshot->xmax)
		return false;
	for (uint32 i = 0; i < s->xcnt; i++)
	{
		uint64		xid = dc_xid_widen(s->xip[i], snapshot->next);

		if (xid <= bound && !dc_xid_running(xid))
			return false;
	}
	return true;
}

/*
 * Does the snapshot see all writers that have left the ring of a stamp?
 * False where it is not certain.
 */
static bool
sees_dropped(const DcSnapshot *snapshot, const DcStamp *stamp)
{
	/*
	 * Those that had ended when they were dropped.  They are seen if they are
	 * all older than anything the snapshot takes for running; or if the
	 * snapshot is later than the moment they were dropped, because a
	 * transaction has ended that began after it; or if what the snapshot
	 * takes for running runs to this moment, so is none of them.  The last
	 * two keep a long transaction elsewhere from stopping the cache.
	 */
	return stamp->ended < snapshot->xmin ||
		snapshot->xmax > stamp->ended_before ||
		unseen_still_run(snapshot, stamp->ended);
}

/*
 * Take a snapshot's view of a stamp.  Raises *newest to the newest writer seen.
 * Where "culprit" is not NULL, sets it to the first writer seen after the
 * first "prefix_known" pushes.
 *
 * Returns false if the view cannot be told.
 */
static bool
stamp_view(uint32 stamp_number, const DcSnapshot *snapshot,
		   DcStampView *view, uint64 *newest,
		   uint64 prefix_known, uint64 *culprit)
{
	DcStamp		stamp;
	uint64		dropped;
	bool		in_prefix;

again:
	in_prefix = true;
	dc_stamp_read(stamp_number, &stamp);

	/*
	 * A bound for those that may have been running when they were dropped,
	 * and for those that may have missed a move.
	 */
	if (stamp.unsettled >= snapshot->xmin)
		return false;
	if (stamp.moving != 0)
	{
		if (stamp.moving >= snapshot->xmin)
			return false;
		dc_stamp_settle(stamp_number, stamp.moving);
		goto again;
	}
	if (stamp.rounds > 0)
	{
		dc_stamp_next_round(stamp_number, stamp.unsettled);
		goto again;
	}

	dropped = stamp.version > DC_STAMP_RING ? stamp.version - DC_STAMP_RING : 0;
	if (dropped > 0 && !sees_dropped(snapshot, &stamp))
		return false;

	view->stamp = stamp_number;
	view->prefix = dropped;
	view->later = 0;
	*newest = Max(*newest, Max(stamp.ended, stamp.unsettled));

	for (uint64 push = dropped; push < stamp.version; push++)
	{
		uint64		writer = stamp.ring[push % DC_STAMP_RING];
		Sight		sight = sees_writer(snapshot, writer);

		if (sight == PARTLY_SEEN)
			return false;
		if (sight == SEEN && (writer & DC_WRITER_MOVES))
		{
			/* the bound that this sets may be met already */
			dc_stamp_settle(stamp_number, writer);
			goto again;
		}
		if (sight == NOT_SEEN)
		{
			in_prefix = false;
			continue;
		}
		if (in_prefix)
			view->prefix = push + 1;
		else
			view->later |= 1 << (push - view->prefix);
		*newest = Max(*newest, DC_WRITER_XID(writer));
		if (culprit != NULL && *culprit == 0 && push >= prefix_known)
			*culprit = DC_WRITER_XID(writer);
	}
	return true;
}

/*-------------------------------------------------------------------------
 * Proofs
 *-------------------------------------------------------------------------
 */

/* The low bits of the prefixes; behind them, "later", if there is any. */
static inline uint16 *
prefixes_of(const DcProof *proof, const DcDependencies *dependencies)
{
	return (uint16 *) &unconstify(DcProof *, proof)->rest[dependencies->nhashes];
}

/* Go to the first view of a proof. */
void
dc_views_begin(DcViews *views, const DcProof *proof, const DcDependencies *dependencies)
{
	views->proof = proof;
	views->dependencies = dependencies;
	views->next = 0;
	views->seen = 0;
}

/*
 * The next view; false if there is none.  Of its prefix the proof has the low 16
 * bits.  The rest is taken from the pushes that there are now, so the prefix may
 * be too large if 65,536 have come since: see dc_views_were_right().
 */
bool
dc_views_next(DcViews *views, DcStampView *view)
{
	const DcDependencies *dependencies = views->dependencies;
	const uint16 *prefixes = prefixes_of(views->proof, dependencies);
	uint32		i = views->next;
	uint64		version;

	if (i == dependencies->n)
		return false;
	view->stamp = dc_dependency_stamp(&dependencies->list[i], views->proof->rest);
	version = dc_stamp_version(view->stamp);
	view->prefix = version - (uint16) (version - prefixes[i]);
	view->later = 0;
	if (views->proof->seen & DC_SEEN_LATER)
		view->later = prefixes[dependencies->n + i];
	views->seen += view->prefix;
	views->next++;
	return true;
}

/*
 * After the last one: were all views what they were taken for?  None has been too
 * small, so they were if their sum is right.
 */
bool
dc_views_were_right(const DcViews *views)
{
	return views->seen == (views->proof->seen & ~DC_SEEN_LATER);
}

/*
 * Take the views of the stamps for the tenant with these hashes, for an answer
 * that was computed in the snapshot.  "proof" has room for them.  False if one
 * cannot be told: the answer must not be stored.
 */
bool
dc_proof_make(DcProof *proof, const DcDependencies *dependencies,
			  const uint32 *hashes, const DcSnapshot *snapshot)
{
	uint16	   *prefixes = prefixes_of(proof, dependencies);
	uint64		newest = 0;
	uint64		seen = 0;
	uint16		later = 0;

	if (!dc_xid_settled(snapshot->xmin))
		return false;

	for (uint32 i = 0; i < dependencies->n; i++)
	{
		DcStampView view;

		if (!stamp_view(dc_dependency_stamp(&dependencies->list[i], hashes),
						snapshot, &view, &newest, 0, NULL))
			return false;
		prefixes[i] = (uint16) view.prefix;
		prefixes[dependencies->n + i] = view.later;
		seen += view.prefix;
		later |= view.later;
	}

	/* a newest writer that is too high makes nothing valid that is not */
	Assert(newest < snapshot->xmax);
	proof->snapshot_xmax = snapshot->xmax;
	proof->newest_before = (uint32) Min(snapshot->xmax - newest, PG_UINT32_MAX);
	proof->seen = seen | (later != 0 ? DC_SEEN_LATER : 0);
	memcpy(proof->rest, hashes, sizeof(uint32) * dependencies->nhashes);
	return true;
}

/*
 * Do the views see all pushes that there are so far, and nothing else?  No stamp
 * has fewer than its view has seen, so it is enough to compare the sums.  Where
 * there are later pushes there is one before them that was not seen.
 */
static pg_attribute_always_inline bool
sees_all(const DcProof *proof, const DcDependencies *dependencies)
{
	uint64		pushes = 0;

	for (uint32 i = 0; i < dependencies->n; i++)
		pushes += dc_stamp_version(dc_dependency_stamp(&dependencies->list[i],
													   proof->rest));
	return pushes == proof->seen;
}

/*
 * Does the snapshot see every writer that the entry has seen, for it is newer than
 * the entry's, or than all of those writers?  False where it is not certain.
 */
static pg_attribute_always_inline bool
sees_newest(const DcProof *proof, const DcSnapshot *snapshot)
{
	if (snapshot->xmax <= proof->snapshot_xmax &&
		snapshot->xmin <= proof->snapshot_xmax - proof->newest_before)
		return false;
	return dc_xid_settled(snapshot->xmin);
}

/*
 * The short way to "valid": no stamp has gained a writer, and the snapshot sees
 * every writer the entry has seen, because it is newer than the entry's or than
 * all of those writers.  False means: look closer.  Takes no lock.
 */
bool
dc_proof_holds(const DcProof *proof, const DcDependencies *dependencies,
			   const DcSnapshot *snapshot)
{
	return sees_newest(proof, snapshot) && sees_all(proof, dependencies);
}

/*
 * Remember what answers depend on, for dc_proof_holds_remembered().  "definition" is
 * the number of their definition, which belongs to no other.  What depends on too
 * many stamps of the tenant is not remembered, and is looked at in full each time.
 */
void
dc_dependencies_remember(DcRemembered *remembered, uint64 definition,
						 const DcDependencies *dependencies)
{
	remembered->definition = 0;
	remembered->n = 0;
	for (uint32 i = 0; i < dependencies->n; i++)
	{
		const DcDependency *dependency = &dependencies->list[i];

		if (dependency->hash < 0)
		{
			/* what else is the same for all tenants is not counted with these */
			if (!(dependency->key & DC_STAMP_OF_ALL))
				return;
		}
		else if (remembered->n == DC_REMEMBERED)
			return;
		else
			remembered->list[remembered->n++] = *dependency;
	}
	remembered->definition = definition;
	remembered->pushes_of_all = PG_UINT64_MAX;
}

/* Count the pushes on the stamps that are the same for all tenants. */
static pg_noinline void
count_of_all(DcRemembered *remembered, const DcDependencies *dependencies)
{
	remembered->pushes_of_all = dc_stamp_pushes_of_all();
	/* what is pushed from now on will be found not to be counted */
	pg_read_barrier();
	remembered->seen_of_all = 0;
	for (uint32 i = 0; i < dependencies->n; i++)
	{
		if (dependencies->list[i].hash < 0)
			remembered->seen_of_all += dc_stamp_version(dependencies->list[i].key);
	}
}

/*
 * dc_proof_holds(), for answers of the definition whose dependencies are remembered,
 * which is nearly every hit.  It looks at nothing but the stamps of the tenant.
 */
DC_HIT_PATH bool
dc_proof_holds_remembered(const DcProof *proof, const DcDependencies *dependencies,
						  DcRemembered *remembered, const DcSnapshot *snapshot)
{
	uint64		pushes;

	if (!sees_newest(proof, snapshot))
		return false;
	if (unlikely(remembered->pushes_of_all != dc_stamp_pushes_of_all()))
		count_of_all(remembered, dependencies);
	pushes = remembered->seen_of_all;
	for (uint32 i = 0; i < remembered->n; i++)
		pushes += dc_stamp_version(dc_dependency_stamp(&remembered->list[i], proof->rest));
	return pushes == proof->seen;
}

/*
 * Judge an entry for a snapshot.  If the verdict is DC_CHANGED, *culprit says
 * which view differs first, and which transaction did it.
 */
DcVerdict
dc_proof_check(const DcProof *proof, const DcDependencies *dependencies,
			   const DcSnapshot *snapshot, DcCulprit *culprit)
{
	DcVerdict	verdict = DC_VALID;
	DcViews		views;
	DcStampView then;

	if (dc_proof_holds(proof, dependencies, snapshot))
		return DC_VALID;
	if (!dc_xid_settled(snapshot->xmin))
		return DC_UNCERTAIN;

	dc_views_begin(&views, proof, dependencies);
	while (dc_views_next(&views, &then))
	{
		DcStampView now;
		uint64		newest = 0;
		uint64		xid = 0;

		if (!stamp_view(then.stamp, snapshot, &now, &newest,
						then.prefix, &xid))
			return DC_UNCERTAIN;
		if (now.prefix == then.prefix && now.later == then.later)
			continue;
		if (now.prefix < then.prefix ||
			(now.prefix == then.prefix && (then.later & ~now.later) != 0))
			verdict = DC_OLD_SNAPSHOT;
		else
		{
			culprit->view = views.next - 1;
			culprit->xid = xid;
			return DC_CHANGED;
		}
	}
	if (!dc_views_were_right(&views))
	{
		/*
		 * 65,536 pushes on one of them, nearly all of which have left the
		 * ring
		 */
		culprit->view = -1;
		culprit->xid = 0;
		return DC_CHANGED;
	}
	return verdict;
}

/*
 * Has the snapshot the same view of one stamp as the entry?  False if it is
 * uncertain.
 */
bool
dc_proof_holds_on(const DcProof *proof, const DcDependencies *dependencies,
				  uint32 stamp, const DcSnapshot *snapshot)
{
	bool		holds = true;
	bool		right = true;
	DcViews		views;
	DcStampView then;

	dc_views_begin(&views, proof, dependencies);
	while (dc_views_next(&views, &then))
	{
		DcStampView now;
		uint64		newest = 0;

		if (then.stamp != stamp)
			continue;
		if (!stamp_view(stamp, snapshot, &now, &newest, 0, NULL) ||
			now.prefix != then.prefix || now.later != then.later)
			holds = false;
		/* with so few, whatever has become of the other stamps */
		right = then.prefix <= PG_UINT16_MAX;
	}
	return holds && (right || dc_views_were_right(&views));
}

/*
 * Has everybody who has announced himself so far been seen?  Then the answer
 * is right at this moment, however old the snapshot is that it comes from.
 */
bool
dc_proof_is_latest(const DcProof *proof, const DcDependencies *dependencies)
{
	return sees_all(proof, dependencies);
}

/*
 * A digest of what a proof says that was seen, not of who has seen it: two proofs
 * of the same answer have the same one, unless something has changed in between.
 * "version": that of the widget's definition.
 */
uint32
dc_proof_digest(const DcProof *proof, const DcDependencies *dependencies,
				uint64 version)
{
	const unsigned char *rest = (const unsigned char *) proof->rest;
	Size		len = DC_PROOF_SIZE(proof, dependencies) - offsetof(DcProof, rest);

	return (uint32) dc_mix64(proof->seen ^
							 hash_bytes_extended(rest, (int) len, version));
}

/*
 * The proof of an answer that was right when the server started, and "next_xid"
 * was next: of all that have announced themselves since it has seen none.
 * "proof" has room for it.
 */
void
dc_proof_from_start(DcProof *proof, const DcDependencies *dependencies,
					const uint32 *hashes, uint64 next_xid)
{
	memset(proof, 0, DC_PROOF_ROOM(dependencies));
	proof->snapshot_xmax = next_xid;
	proof->newest_before = 1;
	memcpy(proof->rest, hashes, sizeof(uint32) * dependencies->nhashes);
}

/* Does the snapshot see every writer of a stamp?  False if uncertain. */
bool
dc_stamp_all_seen(uint32 stamp, const DcSnapshot *snapshot)
{
	DcStampView view;
	uint64		newest = 0;

	if (dc_stamp_version(stamp) == 0)
		return true;
	if (!stamp_view(stamp, snapshot, &view, &newest, 0, NULL))
		return false;
	return view.later == 0 && view.prefix == dc_stamp_version(stamp);
}
