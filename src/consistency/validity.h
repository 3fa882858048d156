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
 * What an entry was computed from: the view of each of its stamps.  "newest"
 * is the newest writer among those seen.
 */
typedef struct DcProof
{
	uint64		snapshot_xmax;
	uint64		newest;
	int32		nviews;
	DcStampView views[FLEXIBLE_ARRAY_MEMBER];
} DcProof;

#define DC_PROOF_SIZE(nviews) \
	(offsetof(DcProof, views) + sizeof(DcStampView) * (nviews))

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
extern bool dc_proof_is_latest(const DcProof *proof);
extern void dc_proof_from_start(DcProof *proof, uint64 next_xid,
								const uint32 *stamps, int nstamps);
extern bool dc_stamp_all_seen(uint32 stamp, const DcSnapshot *snapshot);

#endif							/* DASHCACHE_VALIDITY_H */
