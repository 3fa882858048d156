/*-------------------------------------------------------------------------
 *
 * chains.c
 *		Whose entries are whose: those of a tenant, and of a widget.
 *
 * What a tenant or a dashboard may hold is limited (limits.c), and who has
 * reached its limit gives way to itself.  So it must be known how much a tenant
 * holds, and its entries must be found without looking at those of others.
 * Each entry is in two more chains, one for its tenant's hash and one for its
 * widget's, with the bytes of each chain counted.  The chains are arrays of
 * fixed size, so several tenants may share one.  That never makes one of them
 * give way to another: who looks for its own skips the others.  It may give
 * way to itself a little early, where it shares a chain with one that is
 * large; but it looks at a few entries only, which then are mostly the other's,
 * and stores its answer if none of its own is among them.
 *
 * Chains are in the order of insertion, but for what a search skips: it is put
 * at the newer end, so that the next search begins behind it.  That holds for
 * entries that have been used since, too, once ("second chance").
 *
 * Locking: a spinlock in each chain, over a few assignments, taken with the
 * partition of the entry locked exclusively or with no lock at all.  An entry
 * leaves its chains before its memory is given back, and before its definition may
 * be (free_entry() in store.c), so what is found in a chain is there as long as its
 * lock is held.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

#include "common/hashfn.h"
#include "mix.h"
#include "port/pg_bitutils.h"
#include "storage/spin.h"

/* So many entries are looked at to find one's own. */
#define LOOKS 8

typedef struct SharedChain
{
	slock_t		mutex;
	DcChain		chain;
	uint64		used;			/* bytes of its entries */
} SharedChain;

typedef struct SharedChains
{
	uint32		ntenants;		/* chains; powers of two */
	uint32		nwidgets;
	SharedChain chains[FLEXIBLE_ARRAY_MEMBER];	/* of tenants, then of widgets */
} SharedChains;

static SharedChains *shared = NULL;

/* Chains for tenants: one for each 4 kB. */
static uint32
tenants_for(Size memory)
{
	return pg_prevpower2_32((uint32) Min(Max(memory / 4096, 64), 1 << 24));
}

/* Chains for widgets: one for each 64 kB. */
static uint32
widgets_for(Size memory)
{
	return Max(64, tenants_for(memory) / 16);
}

/* How many bytes of the "memory" bytes of the store the chains take. */
Size
dc_chains_shmem_size(Size memory)
{
	return CACHELINEALIGN(offsetof(SharedChains, chains) + sizeof(SharedChain) *
						  (tenants_for(memory) + widgets_for(memory)));
}

/* Make empty chains at "place"; once, by the postmaster. */
void
dc_chains_shmem_init(void *place, Size memory)
{
	shared = place;
	shared->ntenants = tenants_for(memory);
	shared->nwidgets = widgets_for(memory);
	for (uint32 i = 0; i < shared->ntenants + shared->nwidgets; i++)
	{
		memset(&shared->chains[i], 0, sizeof(SharedChain));
		SpinLockInit(&shared->chains[i].mutex);
	}
}

/* Learn where the chains are; in every process. */
void
dc_chains_attach(void *place)
{
	shared = place;
}

static SharedChain *
chain_of(DcChainKind kind, Oid database, uint32 id)
{
	uint32		hash = (uint32) dc_mix64((uint64) database << 32 | id);

	return kind == DC_CHAIN_TENANT ? &shared->chains[hash & (shared->ntenants - 1)] :
		&shared->chains[shared->ntenants + (hash & (shared->nwidgets - 1))];
}

/* Whose of this kind an entry is: its tenant's hash, or its widget's number. */
uint32
dc_chain_id(DcChainKind kind, const DcSharedEntry *entry)
{
	return kind == DC_CHAIN_TENANT ? entry->tenant_hash :
		dc_entry_definition(entry)->widget;
}

static SharedChain *
chain_of_entry(DcChainKind kind, const DcSharedEntry *entry)
{
	return chain_of(kind, dc_entry_definition(entry)->database, dc_chain_id(kind, entry));
}

/* Add an entry that takes so many bytes to the chains it belongs to. */
void
dc_chains_link(DcRef ref, DcSharedEntry *entry, Size size)
{
	for (DcChainKind kind = DC_CHAIN_TENANT; kind <= DC_CHAIN_WIDGET; kind++)
	{
		SharedChain *of = chain_of_entry(kind, entry);

		SpinLockAcquire(&of->mutex);
		dc_chain_link(&of->chain, kind, ref, entry);
		of->used += size;
		SpinLockRelease(&of->mutex);
	}
}

/* Take an entry out of them. */
void
dc_chains_unlink(DcSharedEntry *entry, Size size)
{
	for (DcChainKind kind = DC_CHAIN_TENANT; kind <= DC_CHAIN_WIDGET; kind++)
	{
		SharedChain *of = chain_of_entry(kind, entry);

		SpinLockAcquire(&of->mutex);
		dc_chain_unlink(&of->chain, kind, entry);
		of->used -= size;
		SpinLockRelease(&of->mutex);
	}
}

/* How many bytes the entries of a tenant's or widget's chain take. */
uint64
dc_chain_used(DcChainKind kind, Oid database, uint32 id)
{
	SharedChain *of = chain_of(kind, database, id);
	uint64		used;

	SpinLockAcquire(&of->mutex);
	used = of->used;
	SpinLockRelease(&of->mutex);
	return used;
}

/*
 * Find an entry of a tenant, or of a widget, that may give way: an old one that
 * has not been used lately.  Returns 0 if there is none among the next few; else
 * "hash" is the entry's, by which dc_store_evict_ref() finds it if it is still
 * there.
 */
DcRef
dc_chain_victim(DcChainKind kind, Oid database, uint32 id, uint32 *hash)
{
	SharedChain *of = chain_of(kind, database, id);
	DcRef		found = 0;

	SpinLockAcquire(&of->mutex);
	for (int i = 0; i < LOOKS && of->chain.oldest != 0; i++)
	{
		DcRef		at = of->chain.oldest;
		DcSharedEntry *entry = dc_entry_at(at);

		if (dc_entry_definition(entry)->database == database &&
			dc_chain_id(kind, entry) == id)
		{
			/* the first one, if all that follow are in use */
			if (found == 0 || !(pg_atomic_read_u32(&entry->marks) & DC_MARK_VISITED))
			{
				found = at;
				*hash = entry->hash;
			}
			if (!(pg_atomic_fetch_and_u32(&entry->marks, ~DC_MARK_VISITED) & DC_MARK_VISITED))
				break;
		}
		dc_chain_unlink(&of->chain, kind, entry);
		dc_chain_link(&of->chain, kind, at, entry);
	}
	SpinLockRelease(&of->mutex);
	return found;
}
