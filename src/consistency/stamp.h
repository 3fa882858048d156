/*-------------------------------------------------------------------------
 *
 * stamp.h
 *		Stamps: who has changed what an entry was computed from.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_STAMP_H
#define DASHCACHE_STAMP_H

#include "postgres.h"

#include "mix.h"

#include "port/atomics.h"
#include "storage/spin.h"

/*
 * How many of the latest writers a stamp knows by name.  With ten a stamp
 * fills two cache lines; DcStampView.later must have a bit for each.
 */
#define DC_STAMP_RING 10

/*
 * Marks a writer whose change is seen by every snapshot once it has committed,
 * also by older ones: TRUNCATE and DDL.
 */
#define DC_WRITER_UNVERSIONED UINT64CONST(0x8000000000000000)

/*
 * Marks a writer that has moved rows of others to the tenant, with the number
 * of further rounds of waiting that takes (0 to 3): see "Moves" in stamp.c.
 */
#define DC_WRITER_MOVES UINT64CONST(0x4000000000000000)
#define DC_WRITER_MOVE(rounds) (DC_WRITER_MOVES | ((uint64) (rounds) << 60))
#define DC_WRITER_ROUNDS(writer) ((int) ((writer) >> 60) & 3)

#define DC_WRITER_XID(writer) ((writer) & UINT64CONST(0x0FFFFFFFFFFFFFFF))

/*
 * A stamp.  "version" counts the pushes; push number n (from 0) stands in
 * ring[n % DC_STAMP_RING] until push number n + DC_STAMP_RING overwrites it.
 * All is protected by "mutex", but "version" may also be read without.
 */
typedef struct DcSharedStamp
{
	pg_atomic_uint64 version;
	slock_t		mutex;

	/* how often "unsettled" is to be set anew when it has been passed */
	uint8		rounds;

	/* the newest writer that left the ring after it had ended, ... */
	uint64		ended;
	/* ... and the xid that was next when that was noticed */
	uint64		ended_before;
	/* all up to this one must have ended, for what has left the ring */
	uint64		unsettled;
	/* the newest writer with DC_WRITER_MOVES that left the ring; 0: none */
	uint64		moving;

	uint64		ring[DC_STAMP_RING];
} DcSharedStamp;

/* A consistent copy. */
typedef struct DcStamp
{
	uint64		version;
	uint64		ended;
	uint64		ended_before;
	uint64		unsettled;
	uint64		moving;
	int			rounds;
	uint64		ring[DC_STAMP_RING];
} DcStamp;

extern Size dc_stamp_shmem_size(Size memory);
extern void dc_stamp_shmem_init(void *place, Size memory);
extern void dc_stamp_attach(void *place);

/* Marks the number of a stamp for every tenant. */
#define DC_STAMP_OF_ALL 0x80000000U

/* The stamp of one tenant, by what dc_stamp_key() gives. */
static inline uint32
dc_stamp_of_key(uint32 key, uint32 tenant_hash)
{
	return (uint32) dc_mix64((uint64) key << 32 | tenant_hash) & ~DC_STAMP_OF_ALL;
}

extern uint32 dc_stamp_key(uint64 watch);
extern uint32 dc_stamp_of_tenant(uint64 watch, uint32 tenant_hash);
extern uint32 dc_stamp_of_all(uint64 watch);

extern uint64 dc_stamp_push(uint32 stamp, uint64 writer);
extern uint64 dc_stamp_version(uint32 stamp);
extern uint64 dc_stamp_pushes_of_all(void);
extern void dc_stamp_read(uint32 stamp, DcStamp *copy);
extern void dc_stamp_settle(uint32 stamp, uint64 writer);
extern void dc_stamp_next_round(uint32 stamp, uint64 passed);

extern uint64 dc_xid_next(void);
extern uint64 dc_xid_widen(TransactionId xid, uint64 next);
extern bool dc_xid_running(uint64 xid);
extern bool dc_xid_settled(uint64 xmin);

#endif							/* DASHCACHE_STAMP_H */
