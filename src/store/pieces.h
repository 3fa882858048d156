/*-------------------------------------------------------------------------
 *
 * pieces.h
 *		The memory of the store, handed out in pieces.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_PIECES_H
#define DASHCACHE_PIECES_H

#include "postgres.h"

/*
 * A place in the store's memory, counted in units of eight bytes, so that 32
 * bits reach 32 GB; 0: none.
 */
typedef uint32 DcRef;

#define DC_UNIT 8

/*
 * A piece that is handed out.  What does not fit into one goes on in the
 * next.  "size" is read by dc_piece_room() alone, outside pieces.c.
 */
typedef struct DcPiece
{
	uint32		size;			/* in units, with two flags */
	DcRef		next;			/* 0: the last */
	char		data[FLEXIBLE_ARRAY_MEMBER];
} DcPiece;

/* What "size" is made of. */
#define DC_PIECE_FREE 0x80000000
#define DC_PIECE_AFTER_FREE 0x40000000
#define DC_PIECE_UNITS 0x3FFFFFFF

/* How the memory is used. */
typedef struct DcPiecesUsage
{
	Size		total;			/* all that can be handed out */
	Size		free;
	Size		largest_free;	/* in one piece; to an eighth */
	uint32		nfree;			/* free pieces */
} DcPiecesUsage;

extern char *dc_pieces_base;

extern void dc_pieces_shmem_init(void *place, Size size);
extern void dc_pieces_attach(void *place);

extern DcRef dc_pieces_alloc(Size head, Size size);
extern void dc_pieces_free(DcRef ref);
extern Size dc_pieces_size(DcRef ref);
extern void dc_pieces_usage(DcPiecesUsage *usage);

static inline DcPiece *
dc_piece_at(DcRef ref)
{
	return (DcPiece *) (dc_pieces_base + (Size) ref * DC_UNIT);
}

static inline DcRef
dc_ref_of(const DcPiece *piece)
{
	return (DcRef) (((const char *) piece - dc_pieces_base) / DC_UNIT);
}

/* How many bytes of data a piece has. */
static inline Size
dc_piece_room(const DcPiece *piece)
{
	return (Size) (piece->size & DC_PIECE_UNITS) * DC_UNIT - offsetof(DcPiece, data);
}

#endif							/* DASHCACHE_PIECES_H */
