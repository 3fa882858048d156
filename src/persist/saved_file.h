/*-------------------------------------------------------------------------
 *
 * saved_file.h
 *		The file in which entries outlive the server: its format.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_SAVED_FILE_H
#define DASHCACHE_SAVED_FILE_H

#include "postgres.h"

#include "stats.h"
#include "store/store.h"

#include "pgstat.h"
#include "port/pg_crc32c.h"

#define DC_SAVED_PATH PGSTAT_STAT_PERMANENT_DIRECTORY "/dashcache.saved"

/* What the file belongs to. */
typedef struct DcSavedOrigin
{
	uint64		system;			/* the cluster's system identifier */
	uint64		checkpoint;		/* where its shutdown checkpoint is */
	uint32		timeline;
	uint32		control;		/* pg_control's checksum */
	char		build[256];		/* the server and the libraries that hash */
} DcSavedOrigin;

/* What stands at the beginning. */
typedef struct DcSavedHeader
{
	DcSavedOrigin origin;
	TimestampTz stats_since;
	uint64		nstats;
	uint64		stats_size;		/* in bytes */
	uint32		stats_crc;
	uint64		nentries;
	uint64		entries_size;
	uint32		entries_crc;
} DcSavedHeader;

/* The counters of a widget. */
typedef struct DcSavedStats
{
	Oid			database;
	uint32		widget;
	uint64		counters[DC_COUNTERS];
} DcSavedStats;

/*
 * An entry.  Of its proof, which is of its time, what it depends on is saved, with
 * the hashes of the tenant.
 */
typedef struct DcSavedEntry
{
	DcKey		key;
	DcContent	content;
	DcUsage		usage;
	uint32		nhashes;
	const uint32 *hashes;

	/* for reading: what all pointers point to */
	char	   *buffer;
	Size		capacity;
} DcSavedEntry;

/* The file while it is written or read, one section at a time. */
typedef struct DcSavedFile
{
	FILE	   *file;
	bool		writing;
	bool		failed;			/* all that follows does nothing */
	uint64		left;			/* reading: bytes to the section's end */
	uint64		done;			/* bytes of the section so far */
	pg_crc32c	crc;			/* of these */
} DcSavedFile;

extern void dc_saved_begin_writing(DcSavedFile *file, FILE *to);
extern void dc_saved_begin_section(DcSavedFile *file);
extern void dc_saved_end_section(DcSavedFile *file, uint64 *size, uint32 *crc);
extern void dc_saved_put_stats(DcSavedFile *file, const DcSavedStats *stats);
extern void dc_saved_put_entry(DcSavedFile *file, const DcSavedEntry *entry);
extern void dc_saved_end_writing(DcSavedFile *file, const DcSavedHeader *header);

extern const char *dc_saved_begin_reading(DcSavedFile *file, FILE *from,
										  DcSavedHeader *header);
extern const char *dc_saved_check_stats(DcSavedFile *file, const DcSavedHeader *header);
extern const char *dc_saved_check_entries(DcSavedFile *file, const DcSavedHeader *header);
extern bool dc_saved_get_stats(DcSavedFile *file, DcSavedStats *stats);
extern bool dc_saved_get_entry(DcSavedFile *file, DcSavedEntry *entry);

#endif							/* DASHCACHE_SAVED_FILE_H */
