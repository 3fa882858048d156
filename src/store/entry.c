/*-------------------------------------------------------------------------
 *
 * entry.c
 *		What an entry holds.
 *
 * An entry is made before it is put into the table, and constant from then on,
 * but for what is noted about its use.  There may be millions, so it is kept
 * short: links of 32 bits, times as distances from others or in seconds, rounded
 * so that nothing is served that would not be by the exact ones.
 *
 * Locking: what is noted is atomic; the partition is locked in any mode.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

#include "hit_path.h"
#include "store/sieve.h"

/* Mark an entry, whose partition is locked in any mode; false: it was so. */
DC_HIT_PATH bool
dc_entry_mark(DcSharedEntry *entry, uint32 marks)
{
	if ((pg_atomic_read_u32(&entry->marks) & marks) == marks)
		return false;
	return (pg_atomic_fetch_or_u32(&entry->marks, marks) & marks) != marks;
}

/* Note the use of an entry.  The partition is locked in any mode. */
DC_HIT_PATH void
dc_store_used(DcSharedEntry *entry, TimestampTz now)
{
	uint32		second = DC_SECONDS(now);

	if (pg_atomic_read_u32(&entry->hits) != PG_UINT32_MAX)
		pg_atomic_fetch_add_u32(&entry->hits, 1);
	if (pg_atomic_read_u32(&entry->last_used) != second)
		pg_atomic_write_u32(&entry->last_used, second);
	dc_entry_mark(entry, DC_MARK_VISITED | DC_MARK_USED);
}

/* Copy an entry's payload.  Its partition is locked in any mode. */
DC_HIT_PATH void
dc_entry_copy(const DcSharedEntry *entry, char *to)
{
	const char *from = (const char *) entry + DC_ENTRY_HEAD(entry);
	Size		left = entry->payload_len;
	const DcPiece *piece;
	Size		room;

	/* without a look at the piece */
	if (likely(pg_atomic_read_u32(&unconstify(DcSharedEntry *, entry)->marks) & DC_MARK_WHOLE))
	{
		memcpy(to, from, left);
		return;
	}

	piece = dc_piece_of(entry);
	room = dc_piece_room(piece) - DC_ENTRY_HEAD(entry);
	while (left > room)
	{
		memcpy(to, from, room);
		to += room;
		left -= room;
		piece = dc_piece_at(piece->next);
		from = piece->data;
		room = dc_piece_room(piece);
	}
	memcpy(to, from, left);
}

/* How many bytes of memory an entry takes. */
Size
dc_entry_size(const DcSharedEntry *entry)
{
	return dc_pieces_size(dc_ref_of(dc_piece_of(entry)));
}

/* The number in which an entry never gives way to a lower one. */
uint64
dc_entry_order(const DcSharedEntry *entry)
{
	uint64		order;

	memcpy(&order, DC_ENTRY_PROOF(entry), sizeof(order));
	return order;
}

/* How long before the answer was computed it was right, rounded up. */
static uint32
fresh_ms(const DcContent *content)
{
	TimestampTz before;

	if (content->fresh_at == DT_NOBEGIN)
		return PG_UINT32_MAX;
	before = Max(content->generated_at - content->fresh_at, 0);
	return (uint32) Min((before + 999) / 1000, (TimestampTz) PG_UINT32_MAX);
}

/* From when on the answer is right, rounded up. */
static uint32
valid_from(const DcContent *content)
{
	if (content->valid_from <= 0)
		return 0;
	return DC_SECONDS(content->valid_from + USECS_PER_SEC - 1);
}

static void
copy_payload(DcSharedEntry *entry, const char *from)
{
	DcPiece    *piece = dc_piece_of(entry);
	char	   *to = (char *) entry + DC_ENTRY_HEAD(entry);
	Size		room = dc_piece_room(piece) - DC_ENTRY_HEAD(entry);
	Size		left = entry->payload_len;

	if (left <= room)
		dc_entry_mark(entry, DC_MARK_WHOLE);
	while (left > room)
	{
		memcpy(to, from, room);
		from += room;
		left -= room;
		piece = dc_piece_at(piece->next);
		to = piece->data;
		room = dc_piece_room(piece);
	}
	memcpy(to, from, left);
}

/* Give an entry the credit that its cost and size deserve. */
static void
weigh(DcSharedEntry *entry, Size size)
{
	int32		worth = dc_sieve_worth(entry->compute_us, size);
	int32		mean = (int32) pg_atomic_read_u32(&dc_store->mean_worth);

	entry->credit = dc_sieve_credit(dc_sieve_weight(worth, mean));
	pg_atomic_write_u32(&dc_store->mean_worth, (uint32) dc_sieve_mean(mean, worth));
}

/* Make an entry of an answer, in memory that has room for it; not in the table. */
void
dc_entry_fill(DcSharedEntry *entry, const DcKey *key, const DcContent *content,
			  DcRef definition)
{
	memset(entry, 0, offsetof(DcSharedEntry, data));
	entry->definition = definition;
	entry->hash = key->hash;
	entry->tenant_hash = key->tenant_hash;
	entry->tenant_len = key->tenant_len;
	entry->params_len = key->params_len;
	entry->proof_len = content->proof_len;
	entry->payload_len = content->payload_len;
	entry->answer_len = content->answer_len;
	entry->etag = content->etag;
	entry->generated_at = content->generated_at;
	entry->fresh_ms = fresh_ms(content);
	entry->valid_from = valid_from(content);
	entry->expires_at = content->expires_at;
	entry->compute_us = content->compute_us;
	pg_atomic_init_u32(&entry->last_used,
					   content->background ? 0 : DC_SECONDS(content->generated_at));
	pg_atomic_init_u32(&entry->hits, 0);
	pg_atomic_init_u32(&entry->marks, content->background ? 0 : DC_MARK_USED);
	pg_atomic_init_u32(&entry->refresh_asked, 0);
	memcpy(DC_ENTRY_PROOF(entry), content->proof, content->proof_len);
	memcpy(DC_ENTRY_TENANT(entry), key->tenant, key->tenant_len);
	memcpy(DC_ENTRY_PARAMS(entry), key->params, key->params_len);
	copy_payload(entry, content->payload);
	weigh(entry, DC_ENTRY_HEAD(entry) + content->payload_len);
}

/* The use that was made of an answer says something about the next one. */
void
dc_entry_inherit(DcSharedEntry *entry, DcSharedEntry *old, bool background)
{
	pg_atomic_write_u32(&entry->hits, dc_entry_hits(old));
	/* who asks again where there was an answer makes use of it */
	if (!background || (pg_atomic_read_u32(&old->marks) & DC_MARK_VISITED))
		dc_entry_mark(entry, DC_MARK_VISITED);
	if (background)
	{
		pg_atomic_write_u32(&entry->last_used, pg_atomic_read_u32(&old->last_used));
		if (!dc_entry_used(old))
			entry->unused_refreshes = Min(old->unused_refreshes, PG_UINT8_MAX - 1) + 1;
	}
}
