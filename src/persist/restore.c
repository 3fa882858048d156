/*-------------------------------------------------------------------------
 *
 * restore.c
 *		Reading the entries after a start.
 *
 * The postmaster decides, before it starts anything: it reads the header, and
 * compares it with pg_control and the build (origin.c).  It restores the
 * counters, which are few.  The entries are read by whoever comes first: the
 * launcher, mostly, at once; or a session that purges, since a purge must not be
 * undone by what is read after it.  Readers do not wait: what is not there yet is
 * a miss.  The file is removed before its entries are read, so it is never used
 * twice; nor could it be, since the next checkpoint is another.
 *
 * At that time sessions may be at work.  An entry is stored if none of its stamps
 * has been pushed since the start, which is asked with its partition locked: who
 * has pushed, and then removes entries, as a definition does, either is seen or
 * comes to the partition later.
 *
 * An interrupt waits until all is read: who stops the server in its first second
 * must not lose what another one has saved.
 *
 * Locking: partitions, exclusively, one at a time.  "state" is an atomic; there is
 * a condition variable for who waits until it is DONE.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "persist/restore.h"

#include "consistency/validity.h"
#include "guc.h"
#include "persist/origin.h"
#include "persist/save.h"
#include "persist/saved_file.h"

#include <unistd.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/condition_variable.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Nobody has begun to read; somebody reads; there is nothing to be read. */
#define PENDING 1
#define LOADING 2
#define DONE 3

typedef struct SharedRestore
{
	pg_atomic_uint32 state;
	pg_atomic_uint64 restored;	/* entries so far */
	ConditionVariable done;
	uint64		next_xid;		/* that was next at the start */
	DcSavedHeader header;
} SharedRestore;

static SharedRestore *shared = NULL;

/* How many bytes of shared memory this takes. */
Size
dc_restore_shmem_size(void)
{
	return sizeof(SharedRestore);
}

/* Initialize "place"; once, by the postmaster. */
void
dc_restore_shmem_init(void *place)
{
	shared = place;
	memset(shared, 0, sizeof(*shared));
	pg_atomic_init_u32(&shared->state, DONE);
	pg_atomic_init_u64(&shared->restored, 0);
	ConditionVariableInit(&shared->done);
}

/* Learn where it is; in every process. */
void
dc_restore_attach(void *place)
{
	shared = place;
}

static void
ignore_file(const char *why)
{
	ereport(LOG,
			(errmsg("dashcache does not use the entries saved in \"%s\"", DC_SAVED_PATH),
			 errdetail_internal("%s", why)));
	if (unlink(DC_SAVED_PATH) != 0 && errno != ENOENT)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not remove file \"%s\": %m", DC_SAVED_PATH)));
}

/*-------------------------------------------------------------------------
 * Who reads the entries
 *-------------------------------------------------------------------------
 */

/* Has nobody written to what the entry depends on since the start? */
static bool
is_still_right(void *arg)
{
	const DcContent *content = arg;

	return dc_proof_is_latest(content->proof, content->dependencies);
}

static void
restore_entry(DcSavedEntry *entry)
{
	DcContent  *content = &entry->content;
	const DcDependencies *dependencies = content->dependencies;
	DcProof    *proof = palloc(DC_PROOF_ROOM(dependencies));

	dc_proof_from_start(proof, dependencies, entry->hashes, shared->next_xid);
	content->proof = proof;
	content->proof_len = DC_PROOF_SIZE(proof, dependencies);
	content->digest = dc_proof_digest(proof, dependencies, entry->key.version);
	entry->key.hash = dc_store_hash(&entry->key);
	if (dc_store_restore(&entry->key, content, &entry->usage,
						 is_still_right, content) == DC_PUT_STORED)
		pg_atomic_fetch_add_u64(&shared->restored, 1);
	pfree(proof);
}

/* Read the entries; what is wrong with the file, or NULL. */
static const char *
read_entries(FILE *from)
{
	DcSavedFile file;
	DcSavedHeader header;
	DcSavedEntry entry;
	TimestampTz now = GetCurrentTimestamp();
	const char *problem = dc_saved_begin_reading(&file, from, &header);

	if (problem == NULL &&
		(header.entries_crc != shared->header.entries_crc ||
		 header.nentries != shared->header.nentries))
		problem = "It is not the one that was there at the start.";
	if (problem == NULL)
		problem = dc_saved_check_entries(&file, &header);
	if (problem != NULL)
		return problem;

	memset(&entry, 0, sizeof(entry));
	for (uint64 i = 0; i < header.nentries; i++)
	{
		if (!dc_saved_get_entry(&file, &entry))
			return "It is damaged: an entry is longer than the file.";
		if (entry.content.expires_at > now)
			restore_entry(&entry);
	}
	return NULL;
}

static void
load(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "dashcache restore",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	FILE	   *from = AllocateFile(DC_SAVED_PATH, PG_BINARY_R);
	const char *problem;
	instr_time	began;
	instr_time	ended;

	if (from == NULL)
		ignore_file(psprintf("It cannot be opened: %s.", strerror(errno)));
	else
	{
		/* whatever comes of it, it is not read again */
		unlink(DC_SAVED_PATH);
		INSTR_TIME_SET_CURRENT(began);
		problem = read_entries(from);
		FreeFile(from);
		INSTR_TIME_SET_CURRENT(ended);
		INSTR_TIME_SUBTRACT(ended, began);
		if (problem != NULL)
			ignore_file(problem);
		else
			ereport(LOG,
					(errmsg("dashcache restored %llu of %llu entries in %.0f ms",
							(unsigned long long) pg_atomic_read_u64(&shared->restored),
							(unsigned long long) shared->header.nentries,
							INSTR_TIME_GET_MILLISEC(ended))));
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

static void
end_of_load(void)
{
	pg_atomic_write_u32(&shared->state, DONE);
	ConditionVariableBroadcast(&shared->done);
}

/*
 * Restore what was saved, or wait until somebody else has.  If there is nothing,
 * or it is all there, returns at once.
 */
void
dc_restore(void)
{
	uint32		state = PENDING;

	if (pg_atomic_read_u32(&shared->state) == DONE)
		return;
	if (pg_atomic_compare_exchange_u32(&shared->state, &state, LOADING))
	{
		HOLD_INTERRUPTS();
		PG_TRY();
		{
			load();
		}
		PG_CATCH();
		{
			end_of_load();
			PG_RE_THROW();
		}
		PG_END_TRY();
		end_of_load();
		RESUME_INTERRUPTS();
		return;
	}
	ConditionVariablePrepareToSleep(&shared->done);
	while (pg_atomic_read_u32(&shared->state) != DONE)
		ConditionVariableSleep(&shared->done, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
}

/* How many entries were restored; false if that is not known yet. */
bool
dc_restore_result(uint64 *restored)
{
	*restored = pg_atomic_read_u64(&shared->restored);
	return pg_atomic_read_u32(&shared->state) == DONE;
}

/*-------------------------------------------------------------------------
 * The postmaster
 *-------------------------------------------------------------------------
 */

/*
 * Read all but the entries; the reason why the file must not be used, or NULL.
 */
static const char *
read_head(FILE *from, bool clean, const DcSavedOrigin *now)
{
	DcSavedHeader *header = &shared->header;
	DcSavedFile file;
	DcSavedStats stats;
	const char *problem;

	if (!dc_persist)
		return "dashcache.persist is off.";
	problem = dc_saved_begin_reading(&file, from, header);
	if (problem == NULL)
		problem = dc_saved_check_stats(&file, header);
	if (problem != NULL)
		return problem;
	problem = dc_origin_recovery_requested();
	if (problem != NULL)
		return psprintf("There is a file \"%s\", so the server recovers.", problem);
	if (!clean)
		return "The server was not shut down cleanly.";
	problem = dc_origin_differs(&header->origin, now);
	if (problem != NULL)
		return problem;

	for (uint64 i = 0; i < header->nstats && dc_saved_get_stats(&file, &stats); i++)
		dc_stats_restore(stats.database, stats.widget, stats.counters);
	dc_stats_set_since(header->stats_since);
	return NULL;
}

/*
 * The postmaster's on_shmem_exit callback, before that of save.c: if nobody could
 * read the entries (there was no slot for the launcher), they are not lost.
 */
static void
load_late(int code, Datum arg)
{
	DcSavedOrigin now;
	uint64		next_xid;

	if (code == 0 && pg_atomic_read_u32(&shared->state) == PENDING &&
		dc_origin_now(&now, &next_xid) &&
		now.checkpoint != shared->header.origin.checkpoint)
		load();
}

/*
 * At the start, in the postmaster: find out whether there are entries to be
 * restored, and have them saved when the server ends.
 */
void
dc_restore_prepare(void)
{
	static bool first = true;
	DcSavedOrigin now;
	bool		clean;
	FILE	   *from;
	const char *problem;

	/*
	 * A single-user session neither reads nor writes entries.  Its shutdown
	 * checkpoint makes those that are saved unusable.
	 */
	if (IsUnderPostmaster || !IsPostmasterEnvironment)
		return;

	clean = dc_origin_now(&now, &shared->next_xid);
	dc_save_at_shutdown(now.checkpoint);

	from = AllocateFile(DC_SAVED_PATH, PG_BINARY_R);
	if (from == NULL)
	{
		if (errno != ENOENT)
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("dashcache could not read its entries: could not open file \"%s\": %m",
							DC_SAVED_PATH)));
	}
	else
	{
		problem = first ? read_head(from, clean, &now) :
			"The server has begun anew after a crash.";
		FreeFile(from);
		if (problem != NULL)
			ignore_file(problem);
		else
		{
			pg_atomic_write_u32(&shared->state, PENDING);
			on_shmem_exit(load_late, (Datum) 0);
		}
	}
	first = false;
}
