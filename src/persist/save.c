/*-------------------------------------------------------------------------
 *
 * save.c
 *		Writing the entries at a clean shutdown.
 *
 * The postmaster writes them when all other processes have ended and the
 * shutdown checkpoint is on disk, as pg_stat_statements does.  Nothing can
 * change any more.  An entry is saved if it has not expired, and its proof
 * contains every writer that has ever announced himself: then the answer is
 * what the query would give now, and after the start, until somebody writes.
 * See "Saving" in src/README for why that is all that has to be asked.
 *
 * The file is written under another name, forced to disk and renamed.  Nothing
 * here may keep the server from ending: what fails goes to the log, and the next
 * start begins with an empty cache.
 *
 * Locking: partitions, shared, one at a time, with nobody there to wait for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "persist/save.h"

#include "consistency/validity.h"
#include "guc.h"
#include "persist/origin.h"
#include "persist/saved_file.h"

#include <unistd.h>

#include "portability/instr_time.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#define TEMPORARY_PATH DC_SAVED_PATH ".tmp"

/* The checkpoint from which this server has started. */
static uint64 started_from = 0;

typedef struct Saver
{
	DcSavedFile file;
	DcSavedHeader header;
	TimestampTz now;
} Saver;

static void
save_stats(Oid database, uint32 widget, const uint64 *counters, void *arg)
{
	Saver	   *saver = arg;
	DcSavedStats stats;

	stats.database = database;
	stats.widget = widget;
	memcpy(stats.counters, counters, sizeof(stats.counters));
	dc_saved_put_stats(&saver->file, &stats);
	saver->header.nstats++;
}

static void
save_entry(const DcKey *key, const DcContent *content, const DcUsage *usage, void *arg)
{
	Saver	   *saver = arg;
	const DcProof *proof = content->proof;
	const DcDependencies *dependencies = content->dependencies;
	DcSavedEntry entry = {.key = *key,.content = *content,.usage = *usage};

	if (content->expires_at <= saver->now || !dc_proof_is_latest(proof, dependencies))
		return;

	entry.nhashes = dependencies->nhashes;
	entry.hashes = dc_proof_hashes(proof);
	dc_saved_put_entry(&saver->file, &entry);
	saver->header.nentries++;
}

/* Write the file under its temporary name; false, with errno, if that fails. */
static bool
write_file(Saver *saver)
{
	FILE	   *to = AllocateFile(TEMPORARY_PATH, PG_BINARY_W);
	DcSavedHeader *header = &saver->header;
	bool		failed;
	int			save_errno;

	if (to == NULL)
		return false;
	dc_saved_begin_writing(&saver->file, to);
	dc_saved_begin_section(&saver->file);
	header->stats_since = dc_stats_since();
	dc_stats_scan(save_stats, saver);
	dc_saved_end_section(&saver->file, &header->stats_size, &header->stats_crc);
	dc_saved_begin_section(&saver->file);
	dc_store_export(save_entry, saver);
	dc_saved_end_section(&saver->file, &header->entries_size, &header->entries_crc);
	dc_saved_end_writing(&saver->file, header);
	failed = saver->file.failed;
	save_errno = errno;
	if (FreeFile(to) != 0 && !failed)
		return false;
	errno = save_errno;
	return !failed;
}

/* The postmaster's on_shmem_exit callback. */
static void
save(int code, Datum arg)
{
	Saver		saver;
	uint64		next_xid;
	instr_time	began;
	instr_time	ended;

	/* code: anything but a shutdown, such as a crash of a backend */
	if (code != 0 || !dc_persist)
		return;
	memset(&saver, 0, sizeof(saver));
	if (!dc_origin_now(&saver.header.origin, &next_xid))
		return;
	/* stopped before anything has run: a file that has not been read stays */
	if (saver.header.origin.checkpoint == started_from)
		return;

	INSTR_TIME_SET_CURRENT(began);
	saver.now = GetCurrentTimestamp();
	if (!write_file(&saver))
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("dashcache could not save its entries: could not write file \"%s\": %m",
						TEMPORARY_PATH)));
		unlink(TEMPORARY_PATH);
		return;
	}
	/* this forces it to disk, and says in the log what fails */
	if (durable_rename(TEMPORARY_PATH, DC_SAVED_PATH, LOG) != 0)
	{
		unlink(TEMPORARY_PATH);
		return;
	}
	INSTR_TIME_SET_CURRENT(ended);
	INSTR_TIME_SUBTRACT(ended, began);
	ereport(LOG,
			(errmsg("dashcache saved %llu entries, %llu kB, in %.0f ms",
					(unsigned long long) saver.header.nentries,
					(unsigned long long) saver.header.entries_size / 1024,
					INSTR_TIME_GET_MILLISEC(ended))));
}

/*
 * Have the postmaster save the entries when it ends.  It has started from that
 * checkpoint.
 */
void
dc_save_at_shutdown(uint64 from)
{
	started_from = from;
	/* left by a server that was killed while it wrote */
	unlink(TEMPORARY_PATH);
	on_shmem_exit(save, (Datum) 0);
}
