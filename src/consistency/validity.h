/*-------------------------------------------------------------------------
 *
 * validity.h
 *		May an answer serve, or be stored from, this snapshot?
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_VALIDITY_H
#define DASHCACHE_VALIDITY_H

#include "postgres.h"

#include "consistency/dependencies.h"

#include "utils/snapshot.h"

/* A snapshot, with its bounds widened to full transaction IDs. */
typedef struct DcSnapshot
{
	Snapshot	snapshot;
	uint64		next;			/* not older than anything in it */
	uint64		xmin;
	uint64		xmax;
} DcSnapshot;

/*
 * What a snapshot sees of a stamp: the first "prefix" pushes, not the one
 * after them, and of the later ones those whose bit is set in "later" (bit n:
 * push number prefix + n).
 */
typedef struct DcStampView
{
	uint32		stamp;
	uint16		later;
	uint64		prefix;
} DcStampView;

/*
 * What an entry was computed from: the views of the stamps that it depends on
 * (DcDependencies, which belong to its definition).  There is one in each entry,
 * so it is packed: see "Memory" in src/README.
 */
typedef struct DcProof
{
	uint64		snapshot_xmax;
	uint64		seen;			/* the sum of all prefixes; and a flag */
	uint32		newest_before;	/* the newest writer among those seen, by how
								 * much it is below snapshot_xmax; or less */

	/*
	 * The hashes of the tenant, 32 bits each.  Then the low 16 bits of each
	 * prefix; and, if the flag is set, "later" of each view.
	 */
	uint32		rest[FLEXIBLE_ARRAY_MEMBER];
} DcProof;

/* In "seen": some of the views have later pushes. */
#define DC_SEEN_LATER UINT64CONST(0x8000000000000000)

/* How large it is, and the most that it can be. */
#define DC_PROOF_SIZE(proof, d) \
	(offsetof(DcProof, rest) + sizeof(uint32) * (d)->nhashes + \
	 sizeof(uint16) * (d)->n * ((proof)->seen & DC_SEEN_LATER ? 2 : 1))
#define DC_PROOF_ROOM(d) \
	(offsetof(DcProof, rest) + sizeof(uint32) * (d)->nhashes + \
	 sizeof(uint16) * (d)->n * 2)

/* The hashes of the tenant. */
static inline const uint32 *
dc_proof_hashes(const DcProof *proof)
{
	return proof->rest;
}

/* A walk through the views of a proof. */
typedef struct DcViews
{
	const DcProof *proof;
	const DcDependencies *dependencies;
	uint32		next;
	uint64		seen;			/* the sum so far */
} DcViews;

typedef enum DcVerdict
{
	DC_VALID,					/* the snapshot would give the same answer */
	DC_CHANGED,					/* it sees a writer that the entry does not */
	DC_OLD_SNAPSHOT,			/* the entry sees a writer that it does not */
	DC_UNCERTAIN				/* cannot be told */
} DcVerdict;

/* Which change made an entry invalid, if that is known. */
typedef struct DcCulprit
{
	int			view;			/* index in the proof's views; -1: not known */
	uint64		xid;			/* 0: not known */
} DcCulprit;

extern void dc_snapshot_init(DcSnapshot *snapshot, Snapshot from);
extern bool dc_snapshot_sees(const DcSnapshot *snapshot, uint64 xid);

extern void dc_views_begin(DcViews *views, const DcProof *proof,
						   const DcDependencies *dependencies);
extern bool dc_views_next(DcViews *views, DcStampView *view);
extern bool dc_views_were_right(const DcViews *views);

extern bool dc_proof_make(DcProof *proof, const DcDependencies *dependencies,
						  const uint32 *hashes, const DcSnapshot *snapshot);
extern bool dc_proof_holds(const DcProof *proof, const DcDependencies *dependencies,
						   const DcSnapshot *snapshot);
extern void dc_dependencies_remember(DcRemembered *remembered, uint64 definition,
									 const DcDependencies *dependencies);
extern bool dc_proof_holds_remembered(const DcProof *proof,
									  const DcDependencies *dependencies,
									  DcRemembered *remembered,
									  const DcSnapshot *snapshot);
extern DcVerdict dc_proof_check(const DcProof *proof, const DcDependencies *dependencies,
								const DcSnapshot *snapshot, DcCulprit *culprit);
extern bool dc_proof_holds_on(const DcProof *proof, const DcDependencies *dependencies,
							  uint32 stamp, const DcSnapshot *snapshot);
extern bool dc_proof_is_latest(const DcProof *proof, const DcDependencies *dependencies);
extern uint32 dc_proof_digest(const DcProof *proof, const DcDependencies *dependencies,
							  uint64 version);
extern void dc_proof_from_start(DcProof *proof, const DcDependencies *dependencies,
								const uint32 *hashes, uint64 next_xid);
extern bool dc_stamp_all_seen(uint32 stamp, const DcSnapshot *snapshot);

#endif							/* DASHCACHE_VALIDITY_H */
