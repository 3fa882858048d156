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
 * What an entry was computed from: the view of each of its stamps.  There is
 * one in each entry, so the views are packed, "words" to each, as few as will
 * do for all: see dc_proof_view().
 */
typedef struct DcProof
{
	uint64		snapshot_xmax;
	uint32		newest_before;	/* the newest writer among those seen, by how
								 * much it is below snapshot_xmax; or less */
	uint16		nviews;
	uint16		words;
	uint16		views[FLEXIBLE_ARRAY_MEMBER];
} DcProof;

/* Words to a view: two for the stamp, and those that the prefix takes. */
#define DC_VIEW_TINY 3			/* 16 bits */
#define DC_VIEW_SHORT 4			/* 32 bits */
#define DC_VIEW_MIDDLE 5		/* 48 bits */
#define DC_VIEW_LONG 7			/* all of it, and "later" */

/* Room for the proof of so many views, however they turn out. */
#define DC_PROOF_ROOM(nviews) \
	(offsetof(DcProof, views) + sizeof(uint16) * DC_VIEW_LONG * (nviews))

/* How large it is. */
#define DC_PROOF_SIZE(proof) \
	(offsetof(DcProof, views) + sizeof(uint16) * (proof)->words * (proof)->nviews)

/* View number i of a proof. */
static inline DcStampView
dc_proof_view(const DcProof *proof, int i)
{
	const uint16 *w = &proof->views[i * proof->words];
	DcStampView view;

	view.stamp = w[0] | (uint32) w[1] << 16;
	view.prefix = w[2];
	view.later = 0;
	if (proof->words > DC_VIEW_TINY)
		view.prefix |= (uint64) w[3] << 16;
	if (unlikely(proof->words > DC_VIEW_SHORT))
		view.prefix |= (uint64) w[4] << 32;
	if (unlikely(proof->words > DC_VIEW_MIDDLE))
	{
		view.prefix |= (uint64) w[5] << 48;
		view.later = w[6];
	}
	return view;
}

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
	int			view;			/* index in the proof's views */
	uint64		xid;			/* 0: not known */
} DcCulprit;

extern void dc_snapshot_init(DcSnapshot *snapshot, Snapshot from);
extern bool dc_snapshot_sees(const DcSnapshot *snapshot, uint64 xid);

extern bool dc_proof_make(DcProof *proof, const DcSnapshot *snapshot,
						  const uint32 *stamps, int nstamps);
extern bool dc_proof_holds(const DcProof *proof, const DcSnapshot *snapshot);
extern DcVerdict dc_proof_check(const DcProof *proof,
								const DcSnapshot *snapshot,
								DcCulprit *culprit);
extern bool dc_proof_holds_on(const DcProof *proof, uint32 stamp,
							  const DcSnapshot *snapshot);
extern uint32 dc_proof_digest(const DcProof *proof, uint64 version);
extern bool dc_proof_is_latest(const DcProof *proof);
extern void dc_proof_from_start(DcProof *proof, uint64 next_xid,
								const uint32 *stamps, int nstamps);
extern bool dc_stamp_all_seen(uint32 stamp, const DcSnapshot *snapshot);

#endif							/* DASHCACHE_VALIDITY_H */
