/*-------------------------------------------------------------------------
 *
 * changes.c
 *		The journal of the latest changes: who made entries stale.
 *
 * A ring of records of fixed size.  A writer adds a record for each source and
 * tenant it has changed just before its commit; a reader that finds an entry
 * outdated by that change counts itself on the record.  The journal explains
 * and never decides: what is lost when it wraps around is an explanation.
 * A record of a transaction that then failed stays in the ring, and whoever
 * shows the journal leaves it out.
 *
 * Locking: none.  "next" hands out the slots.  Each record has a sequence
 * number: 0 while it is being written, else the position it was written for,
 * which a reader compares before and after copying.  Two writers meet in one
 * slot only if one is delayed for a whole turn of the ring, and the worst that
 * comes of it is a garbled line in a view.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "changes.h"

#include "port/pg_bitutils.h"

typedef struct SharedChange
{
	pg_atomic_uint64 sequence;
	pg_atomic_uint64 entries_hit;
	DcChange	change;
} SharedChange;

typedef struct SharedJournal
{
	pg_atomic_uint64 next;		/* position of the next record, from 1 */
	uint32		nslots;			/* a power of two; set at start */
	SharedChange slots[FLEXIBLE_ARRAY_MEMBER];
} SharedJournal;

static SharedJournal *journal = NULL;

static uint32
slots_for(Size memory)
{
	Size		wanted = memory / (512 * sizeof(SharedChange));

	return pg_nextpower2_32((uint32) Min(Max(wanted, 128), 65536));
}

/* How many bytes of the "memory" bytes of dashcache the journal takes. */
Size
dc_changes_shmem_size(Size memory)
{
	return MAXALIGN(offsetof(SharedJournal, slots) +
					sizeof(SharedChange) * slots_for(memory));
}

/* Make an empty journal at "place"; once, by the postmaster. */
void
dc_changes_shmem_init(void *place, Size memory)
{
	journal = place;
	pg_atomic_init_u64(&journal->next, 1);
	journal->nslots = slots_for(memory);
	for (uint32 i = 0; i < journal->nslots; i++)
	{
		pg_atomic_init_u64(&journal->slots[i].sequence, 0);
		pg_atomic_init_u64(&journal->slots[i].entries_hit, 0);
	}
}

/* Learn where the journal is; in every process. */
void
dc_changes_attach(void *place)
{
	journal = place;
}

/* Add a record.  Throws nothing, waits for nobody. */
void
dc_changes_add(const DcChange *change)
{
	uint64		position = pg_atomic_fetch_add_u64(&journal->next, 1);
	SharedChange *slot = &journal->slots[position & (journal->nslots - 1)];

	pg_atomic_write_u64(&slot->sequence, 0);
	pg_write_barrier();
	slot->change = *change;
	pg_atomic_write_u64(&slot->entries_hit, 0);
	pg_write_barrier();
	pg_atomic_write_u64(&slot->sequence, position);
}

/*
 * Count an entry that the given transaction's change of "source" has made
 * stale.  Searches from the latest record back.
 */
void
dc_changes_count_entry(uint64 xid, Oid source,
					   bool every_tenant, uint32 tenant_hash)
{
	uint64		next = pg_atomic_read_u64(&journal->next);
	uint64		last = next > journal->nslots ? next - journal->nslots : 1;

	for (uint64 position = next - 1; position >= last; position--)
	{
		SharedChange *slot = &journal->slots[position & (journal->nslots - 1)];

		if (pg_atomic_read_u64(&slot->sequence) == position &&
			slot->change.xid == xid &&
			slot->change.source == source &&
			slot->change.every_tenant == every_tenant &&
			(every_tenant || slot->change.tenant_hash == tenant_hash))
		{
			pg_atomic_fetch_add_u64(&slot->entries_hit, 1);
			return;
		}
	}
}

/*
 * Forget the changes of a database that is no more.  A record that is being
 * written meanwhile is another database's, or of no consequence.
 */
void
dc_changes_forget(Oid database)
{
	for (uint32 i = 0; i < journal->nslots; i++)
	{
		SharedChange *slot = &journal->slots[i];
		uint64		sequence = pg_atomic_read_u64(&slot->sequence);

		if (sequence != 0 && slot->change.database == database)
			(void) pg_atomic_compare_exchange_u64(&slot->sequence, &sequence, 0);
	}
}

/* How many records the journal can hold. */
uint32
dc_changes_capacity(void)
{
	return journal->nslots;
}

/* Copy the record in a slot; false if there is none, or it is being written. */
bool
dc_changes_read(uint32 slot_number, DcChange *change, uint64 *entries_hit)
{
	SharedChange *slot = &journal->slots[slot_number];
	uint64		sequence = pg_atomic_read_u64(&slot->sequence);

	if (sequence == 0)
		return false;
	pg_read_barrier();
	*change = slot->change;
	*entries_hit = pg_atomic_read_u64(&slot->entries_hit);
	pg_read_barrier();
	return pg_atomic_read_u64(&slot->sequence) == sequence;
}
