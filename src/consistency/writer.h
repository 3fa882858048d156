/*-------------------------------------------------------------------------
 *
 * writer.h
 *		What this transaction has changed, and its announcement at commit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_WRITER_H
#define DASHCACHE_WRITER_H

#include "postgres.h"

#include "access/xact.h"

/* Watches of one source that are told apart; the last bit means "the rest". */
#define DC_WRITER_MAX_WATCHES 64

/*
 * What this transaction has done to one source.  Lives until the end of the
 * transaction.
 */
typedef struct DcWriterSource
{
	Oid			relid;
	uint32		number;			/* counted from 1 in this transaction */
	uint64		generation;		/* of the watches, see dc_writer_source() */
	int			nwatches;
	uint64	   *watches;
	uint64		moving;			/* watches of others, whose rows it moves */
	uint64		move_marks;		/* DC_WRITER_MOVE() for these */

	/* a row was removed that others may have referred to, or has another key */
	bool		freed;

	/* watches all of whose tenants are touched; and how */
	uint64		every_tenant;
	uint8		every_tenant_operations;
	bool		unversioned;

	/* the latest touch, to answer repetitions at once */
	uint32		last_hash;
	uint64		last_watches;
	uint8		last_operation;

	struct DcWriterSource *next;
} DcWriterSource;

/* One tenant's rows of one source. */
typedef struct DcTouch
{
	uint64		id;				/* source's number and tenant_hash */
	DcWriterSource *source;
	uint32		tenant_hash;
	int			level;			/* nesting of the transaction that added it */
	uint64		watches;		/* a bit for each watch of the source */
	uint8		operations;
	char	   *tenant;			/* for the journal; NULL: not told */
} DcTouch;

extern DcWriterSource *dc_writer_source(Oid relid, uint64 generation,
										int nwatches, const uint64 *watches,
										uint64 moving, int move_rounds);
extern DcTouch *dc_writer_touch_slow(DcWriterSource *source, uint32 tenant_hash,
									 uint64 watches, uint8 operation);
extern void dc_writer_touch_all(DcWriterSource *source, uint64 watches,
								uint8 operation, bool unversioned);
extern bool dc_writer_wants_tenant(void);
extern char *dc_writer_keep_text(const char *text);
extern void dc_writer_writes(Oid relid);
extern bool dc_writer_wrote(Oid relid);

extern void dc_writer_at_xact(XactEvent event);
extern void dc_writer_at_subxact(SubXactEvent event);

/*
 * Note that this transaction changes rows of the given tenant which the given
 * watches read.  Returns a new touch, or NULL if it was known.  The usual case,
 * the same tenant as for the row before, is decided here.
 */
static inline DcTouch *
dc_writer_touch(DcWriterSource *source, uint32 tenant_hash,
				uint64 watches, uint8 operation)
{
	if ((watches & ~source->every_tenant) == 0 ||
		(source->last_hash == tenant_hash &&
		 source->last_operation == operation &&
		 (watches & ~source->last_watches) == 0))
		return NULL;
	return dc_writer_touch_slow(source, tenant_hash, watches, operation);
}

#endif							/* DASHCACHE_WRITER_H */
