/*-------------------------------------------------------------------------
 *
 * pieces.c
 *		The memory of the store, handed out in pieces.
 *
 * Two-level segregated fit (Masmano et al., "TLSF: a New Dynamic Memory
 * Allocator for Real-Time Systems", ECRTS 2004): free pieces stand in lists by
 * size, eight lists for each power of two, with a bit for each list that is not
 * empty; a piece that is freed is joined with its free neighbours at once.
 * Handing out and taking back take the same time whatever there is.
 *
 * If no piece is large enough, but enough is free in all, several are handed
 * out together.  So what is free is of use, and nobody has to give way for the
 * sake of neighbouring places; only holes smaller than MIN_UNITS may have to
 * wait for something small.
 *
 * The server's own DSA was not used for three reasons: it rounds sizes up to
 * those of a few classes, by up to a quarter, and to whole pages above 8 kB; a
 * superblock serves one class until all of it is free, so that after a shift in
 * sizes much is evicted for nothing; and what is large has to be in one piece.
 *
 * Locking: one LWLock (tranche "dashcache_memory"), the last to be taken.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/pieces.h"

#include "hit_path.h"

#include "port/pg_bitutils.h"
#include "storage/lwlock.h"

/* The lists: eight for each power of two from 8 on, and one each below. */
#define NLISTS 240

/* The smallest piece there is: a free one holds its links and its size. */
#define LEAST_UNITS 3

/* The smallest that is handed out as one of several: 256 bytes. */
#define MIN_UNITS 32

/* Larger ones are not made by joining: "size" has two flags. */
#define MOST_UNITS (DC_PIECE_UNITS / 2)

/* So many of a list, whose pieces differ by an eighth, are tried. */
#define TRIES 8

/* A free piece: its size stands at its end, too. */
typedef struct FreePiece
{
	uint32		size;
	DcRef		next;
	DcRef		previous;
} FreePiece;

typedef struct SharedPieces
{
	LWLock		lock;
	int			tranche;
	DcRef		first;			/* the first and the last place */
	DcRef		end;
	uint32		nfree;
	uint64		free_units;
	uint64		occupied[(NLISTS + 63) / 64];	/* a bit for each list */
	DcRef		lists[NLISTS];
} SharedPieces;

DC_HIT_DATA char *dc_pieces_base = NULL;
static SharedPieces *shared = NULL;

static FreePiece *
free_at(DcRef ref)
{
	return (FreePiece *) dc_piece_at(ref);
}

static uint32
units_of(DcRef ref)
{
	return dc_piece_at(ref)->size & DC_PIECE_UNITS;
}

/* Where a free piece says its size once more. */
static uint32 *
footer_of(DcRef ref, uint32 units)
{
	return (uint32 *) (dc_pieces_base + ((Size) ref + units) * DC_UNIT) - 1;
}

/* The list of pieces of a size. */
static int
list_of(uint32 units)
{
	int			power;

	if (units < 8)
		return units;
	power = pg_leftmost_one_pos32(units) - 3;
	return power * 8 + (units >> power);
}

/* The first list from this one on that is not empty; -1: none. */
static int
next_list(int list)
{
	for (int word = list / 64; word < lengthof(shared->occupied); word++)
	{
		uint64		bits = shared->occupied[word];

		if (word == list / 64)
			bits &= PG_UINT64_MAX << (list % 64);
		if (bits != 0)
			return word * 64 + pg_rightmost_one_pos64(bits);
	}
	return -1;
}

/* The last list that is not empty; -1: none. */
static int
last_list(void)
{
	for (int word = lengthof(shared->occupied) - 1; word >= 0; word--)
	{
		if (shared->occupied[word] != 0)
			return word * 64 + pg_leftmost_one_pos64(shared->occupied[word]);
	}
	return -1;
}

static void
push_free(DcRef ref, uint32 units)
{
	int			list = list_of(units);
	FreePiece  *piece = free_at(ref);

	piece->size = units | DC_PIECE_FREE;	/* its neighbours are not free */
	piece->next = shared->lists[list];
	piece->previous = 0;
	*footer_of(ref, units) = units;
	dc_piece_at(ref + units)->size |= DC_PIECE_AFTER_FREE;
	if (piece->next != 0)
		free_at(piece->next)->previous = ref;
	shared->lists[list] = ref;
	shared->occupied[list / 64] |= UINT64CONST(1) << (list % 64);
	shared->nfree++;
	shared->free_units += units;
}

static void
pull_free(DcRef ref)
{
	uint32		units = units_of(ref);
	int			list = list_of(units);
	FreePiece  *piece = free_at(ref);

	if (piece->previous != 0)
		free_at(piece->previous)->next = piece->next;
	else
		shared->lists[list] = piece->next;
	if (piece->next != 0)
		free_at(piece->next)->previous = piece->previous;
	if (shared->lists[list] == 0)
		shared->occupied[list / 64] &= ~(UINT64CONST(1) << (list % 64));
	dc_piece_at(ref + units)->size &= ~DC_PIECE_AFTER_FREE;
	shared->nfree--;
	shared->free_units -= units;
}

/* Hand out a free piece, or as much of its beginning as is needed. */
static void
take(DcRef ref, uint32 wanted)
{
	uint32		units = units_of(ref);
	DcPiece    *piece = dc_piece_at(ref);

	pull_free(ref);
	if (units >= wanted + LEAST_UNITS)
	{
		dc_piece_at(ref + wanted)->size = 0;
		push_free(ref + wanted, units - wanted);
		units = wanted;
	}
	piece->size = units;		/* what is before it is not free */
	piece->next = 0;
}

static void
give_back(DcRef ref)
{
	DcPiece    *piece = dc_piece_at(ref);
	uint32		units = units_of(ref);
	DcRef		next = ref + units;

	if (piece->size & DC_PIECE_AFTER_FREE)
	{
		uint32		before = *((uint32 *) piece - 1);

		if (before + units <= MOST_UNITS)
		{
			ref -= before;
			pull_free(ref);
			units += before;
		}
	}
	if ((dc_piece_at(next)->size & DC_PIECE_FREE) && units + units_of(next) <= MOST_UNITS)
	{
		uint32		after = units_of(next);

		pull_free(next);
		units += after;
	}
	push_free(ref, units);
}

/* A free piece of at least so many units; 0: there is none. */
static DcRef
find_free(uint32 units)
{
	int			list = list_of(units);
	DcRef		ref = shared->lists[list];

	for (int i = 0; i < TRIES && ref != 0; i++)
	{
		if (units_of(ref) >= units)
			return ref;
		ref = free_at(ref)->next;
	}
	list = next_list(list + 1);
	return list < 0 ? 0 : shared->lists[list];
}

static uint32
units_for(Size data)
{
	Size		units = (data + offsetof(DcPiece, data) + DC_UNIT - 1) / DC_UNIT;

	return (uint32) Max(units, LEAST_UNITS);
}

static void
free_chain(DcRef ref)
{
	while (ref != 0)
	{
		DcRef		next = dc_piece_at(ref)->next;

		give_back(ref);
		ref = next;
	}
}

/* Take several pieces, the first with room for "head" bytes; 0: not possible. */
static DcRef
take_several(Size head, Size size)
{
	DcRef		first = 0;
	DcRef	   *link = &first;
	Size		least = head;

	if (shared->free_units < size / DC_UNIT)
		return 0;
	while (size > 0)
	{
		int			list = last_list();
		DcRef		ref;
		uint32		wanted = units_for(size);

		if (list < 0)
			break;
		ref = shared->lists[list];
		if (units_of(ref) < Min(Max(units_for(least), MIN_UNITS), wanted))
			break;
		take(ref, wanted);
		*link = ref;
		link = &dc_piece_at(ref)->next;
		size -= Min(size, dc_piece_room(dc_piece_at(ref)));
		least = 0;
	}
	if (size == 0)
		return first;
	free_chain(first);
	return 0;
}

/*
 * Hand out "size" bytes, in one piece if there is such a one, else in several,
 * the first with room for "head" bytes.  0: there is not enough.
 */
DcRef
dc_pieces_alloc(Size head, Size size)
{
	DcRef		ref = 0;
	uint32		units;

	if (size >= (Size) MOST_UNITS * DC_UNIT - offsetof(DcPiece, data))
		return 0;
	units = units_for(size);
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	ref = find_free(units);
	if (ref != 0)
		take(ref, units);
	else
		ref = take_several(head, size);
	LWLockRelease(&shared->lock);
	return ref;
}

/* Take back a piece and all that follow it. */
void
dc_pieces_free(DcRef ref)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	free_chain(ref);
	LWLockRelease(&shared->lock);
}

/* How many bytes a piece and those that follow it take. */
Size
dc_pieces_size(DcRef ref)
{
	Size		size = 0;

	for (; ref != 0; ref = dc_piece_at(ref)->next)
		size += (Size) units_of(ref) * DC_UNIT;
	return size;
}

/* How the memory is used, at this moment. */
void
dc_pieces_usage(DcPiecesUsage *usage)
{
	int			list;

	LWLockAcquire(&shared->lock, LW_SHARED);
	list = last_list();
	usage->total = (Size) (shared->end - shared->first) * DC_UNIT;
	usage->free = (Size) shared->free_units * DC_UNIT;
	usage->largest_free = list < 0 ? 0 : (Size) units_of(shared->lists[list]) * DC_UNIT;
	usage->nfree = shared->nfree;
	LWLockRelease(&shared->lock);
}

/* Make "size" bytes at "place" the memory, all free; once, by the postmaster. */
void
dc_pieces_shmem_init(void *place, Size size)
{
	uint32		left;

	shared = place;
	dc_pieces_base = place;
	memset(shared, 0, sizeof(*shared));
	shared->tranche = LWLockNewTrancheId();
	LWLockInitialize(&shared->lock, shared->tranche);
	shared->first = (DcRef) (MAXALIGN(sizeof(SharedPieces)) / DC_UNIT);
	/* the last unit is never free, so nothing is joined with what is behind */
	shared->end = (DcRef) (Min(size / DC_UNIT, (Size) PG_UINT32_MAX) - 1);
	dc_piece_at(shared->end)->size = 1;

	left = shared->end - shared->first;
	for (DcRef ref = shared->first; left > 0;)
	{
		uint32		units = Min(left, MOST_UNITS);

		/* no rest that is too small to be a piece */
		if (left - units > 0 && left - units < LEAST_UNITS)
			units -= LEAST_UNITS;
		if (left > units)
			dc_piece_at(ref + units)->size = 0;
		push_free(ref, units);
		ref += units;
		left -= units;
	}
}

/* Learn where the memory is; in every process. */
void
dc_pieces_attach(void *place)
{
	shared = place;
	dc_pieces_base = place;
	LWLockRegisterTranche(shared->tranche, "dashcache_memory");
}
