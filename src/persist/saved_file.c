/*-------------------------------------------------------------------------
 *
 * saved_file.c
 *		The file in which entries outlive the server: its format.
 *
 * A header, and two sections: the counters of all widgets, and the entries.
 * All is written field by field, as the machine has it: the file is only read
 * by the build that has written it.  The header has the size and the CRC-32C of
 * each section, and one of its own, so a file that is cut off anywhere, or in
 * which any byte is another, is known for that before anything of it is used.
 *
 * Writing and reading go through the same functions, so that each list of fields
 * is there once.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "persist/saved_file.h"

#include <sys/stat.h>

#include "utils/memutils.h"

/*
 * Raise it with any change of the format or of what the fields mean, such as that
 * of a tenant's bytes, of a hash, or of a stamp's number.
 */
#define FORMAT 5

static const char magic[8] = "dashc\r\n\032";

/* Write or read some bytes of a section. */
static void
transfer(DcSavedFile *file, void *data, Size len)
{
	if (file->failed)
		return;
	if (file->writing)
		file->failed = fwrite(data, 1, len, file->file) != len;
	else
	{
		file->failed = len > file->left || fread(data, 1, len, file->file) != len;
		if (!file->failed)
			file->left -= len;
	}
	if (file->failed)
		return;
	COMP_CRC32C(file->crc, data, len);
	file->done += len;
}

#define FIELD(field) transfer(file, &(field), sizeof(field))

static void
transfer_header(DcSavedFile *file, DcSavedHeader *header)
{
	DcSavedOrigin *origin = &header->origin;

	FIELD(origin->system);
	FIELD(origin->checkpoint);
	FIELD(origin->timeline);
	FIELD(origin->control);
	FIELD(origin->build);
	FIELD(header->stats_since);
	FIELD(header->nstats);
	FIELD(header->stats_size);
	FIELD(header->stats_crc);
	FIELD(header->nentries);
	FIELD(header->entries_size);
	FIELD(header->entries_crc);
}

static void
transfer_stats(DcSavedFile *file, DcSavedStats *stats)
{
	FIELD(stats->database);
	FIELD(stats->widget);
	for (int i = 0; i < DC_COUNTERS; i++)
		FIELD(stats->counters[i]);
}

/* The part of an entry that has the same size in all. */
static void
transfer_fixed(DcSavedFile *file, DcSavedEntry *entry)
{
	DcKey	   *key = &entry->key;
	DcContent  *content = &entry->content;
	DcUsage    *usage = &entry->usage;

	FIELD(key->database);
	FIELD(key->widget);
	FIELD(key->version);
	FIELD(key->tenant_hash);
	FIELD(key->tenant_len);
	FIELD(key->params_len);
	FIELD(content->payload_len);
	FIELD(content->answer_len);
	FIELD(content->etag);
	FIELD(content->generated_at);
	FIELD(content->fresh_at);
	FIELD(content->valid_from);
	FIELD(content->expires_at);
	FIELD(content->compute_us);
	FIELD(usage->hits);
	FIELD(usage->last_used_at);
	FIELD(usage->marks);
	FIELD(usage->unused_refreshes);
	FIELD(usage->credit);
	FIELD(content->dependencies_len);
	FIELD(entry->nhashes);
}

/* The header with what stands around it, from the file's beginning. */
static const char *
transfer_head(DcSavedFile *file, DcSavedHeader *header)
{
	char		sign[sizeof(magic)];
	uint32		format = FORMAT;
	uint32		crc;
	pg_crc32c	stored;

	if (fseeko(file->file, 0, SEEK_SET) != 0)
		file->failed = true;
	file->left = PG_UINT64_MAX;
	dc_saved_begin_section(file);
	memcpy(sign, magic, sizeof(magic));
	FIELD(sign);
	FIELD(format);
	if (!file->failed && memcmp(sign, magic, sizeof(magic)) != 0)
		return "It is something else.";
	if (!file->failed && format != FORMAT)
		return "It has another format.";
	transfer_header(file, header);
	dc_saved_end_section(file, NULL, &crc);
	stored = crc;
	FIELD(stored);
	if (file->failed)
		return "It is damaged: it is too short.";
	if (stored != crc)
		return "It is damaged: the checksum of its header does not match.";
	return NULL;
}

/* Begin a file, which is to be finished by dc_saved_end_writing(). */
void
dc_saved_begin_writing(DcSavedFile *file, FILE *to)
{
	DcSavedHeader nothing;

	memset(file, 0, sizeof(*file));
	file->file = to;
	file->writing = true;
	memset(&nothing, 0, sizeof(nothing));
	(void) transfer_head(file, &nothing);
}

/* Begin to count and to sum up. */
void
dc_saved_begin_section(DcSavedFile *file)
{
	file->done = 0;
	INIT_CRC32C(file->crc);
}

/* Tell what has been counted and summed up. */
void
dc_saved_end_section(DcSavedFile *file, uint64 *size, uint32 *crc)
{
	FIN_CRC32C(file->crc);
	if (size != NULL)
		*size = file->done;
	*crc = file->crc;
}

/* Write the counters of a widget. */
void
dc_saved_put_stats(DcSavedFile *file, const DcSavedStats *stats)
{
	transfer_stats(file, unconstify(DcSavedStats *, stats));
}

/* Write an entry. */
void
dc_saved_put_entry(DcSavedFile *file, const DcSavedEntry *entry)
{
	transfer_fixed(file, unconstify(DcSavedEntry *, entry));
	transfer(file, unconstify(void *, entry->content.dependencies), entry->content.dependencies_len);
	transfer(file, unconstify(uint32 *, entry->hashes), sizeof(uint32) * entry->nhashes);
	transfer(file, unconstify(char *, entry->key.tenant), entry->key.tenant_len);
	transfer(file, unconstify(char *, entry->key.params), entry->key.params_len);
	transfer(file, unconstify(char *, entry->content.payload), entry->content.payload_len);
}

/* Write the header, which makes the file one.  See file->failed. */
void
dc_saved_end_writing(DcSavedFile *file, const DcSavedHeader *header)
{
	(void) transfer_head(file, unconstify(DcSavedHeader *, header));
}

/*
 * Read the header, and compare it with the size of the file.  Returns what is
 * wrong with it, or NULL.
 */
const char *
dc_saved_begin_reading(DcSavedFile *file, FILE *from, DcSavedHeader *header)
{
	const char *problem;
	off_t		begin;
	off_t		end;

	memset(file, 0, sizeof(*file));
	file->file = from;
	problem = transfer_head(file, header);
	if (problem != NULL)
		return problem;

	begin = ftello(from);
	if (begin < 0 || fseeko(from, 0, SEEK_END) != 0 ||
		(end = ftello(from)) < 0 || fseeko(from, begin, SEEK_SET) != 0)
		return "It cannot be read.";
	if ((uint64) (end - begin) < header->stats_size ||
		(uint64) (end - begin) - header->stats_size != header->entries_size)
		return "It is damaged: it has another size than its header says.";
	return NULL;
}

/* Read a section to its end and return to its beginning. */
static const char *
check_section(DcSavedFile *file, uint64 size, uint32 crc)
{
	off_t		begin = ftello(file->file);
	char		buffer[8192];
	uint32		found;

	file->left = size;
	dc_saved_begin_section(file);
	while (!file->failed && file->left > 0)
		transfer(file, buffer, Min(sizeof(buffer), file->left));
	dc_saved_end_section(file, NULL, &found);
	if (file->failed || begin < 0 || fseeko(file->file, begin, SEEK_SET) != 0)
		return "It cannot be read.";
	if (found != crc)
		return "It is damaged: a checksum does not match.";
	file->left = size;
	return NULL;
}

/*
 * After dc_saved_begin_reading(): check the counters, and get ready to get them.
 * Returns what is wrong, or NULL.
 */
const char *
dc_saved_check_stats(DcSavedFile *file, const DcSavedHeader *header)
{
	return check_section(file, header->stats_size, header->stats_crc);
}

/* After dc_saved_begin_reading(), likewise the entries. */
const char *
dc_saved_check_entries(DcSavedFile *file, const DcSavedHeader *header)
{
	if (fseeko(file->file, header->stats_size, SEEK_CUR) != 0)
		return "It cannot be read.";
	return check_section(file, header->entries_size, header->entries_crc);
}

/* Read the counters of a widget; false if there are none. */
bool
dc_saved_get_stats(DcSavedFile *file, DcSavedStats *stats)
{
	transfer_stats(file, stats);
	return !file->failed;
}

/*
 * Read an entry; false if there is none.  "entry" is all zero at first.  It keeps
 * its memory, from the current context, for the next.
 */
bool
dc_saved_get_entry(DcSavedFile *file, DcSavedEntry *entry)
{
	DcKey	   *key = &entry->key;
	DcContent  *content = &entry->content;
	Size		dependencies_len;
	Size		hashes_len;
	Size		len;

	transfer_fixed(file, entry);
	if (file->failed ||
		content->payload_len > file->left)	/* so the sum cannot overflow */
		return false;
	dependencies_len = content->dependencies_len;
	hashes_len = sizeof(uint32) * entry->nhashes;
	len = dependencies_len + hashes_len + (Size) key->tenant_len + key->params_len + content->payload_len;
	if (len > file->left)
		return false;
	if (len > entry->capacity)
	{
		if (entry->buffer != NULL)
			pfree(entry->buffer);
		entry->capacity = Max(len, 8192) + len / 2;
		entry->buffer = MemoryContextAllocHuge(CurrentMemoryContext, entry->capacity);
	}
	transfer(file, entry->buffer, len);
	content->dependencies = entry->buffer;
	entry->hashes = (uint32 *) (entry->buffer + dependencies_len);
	key->tenant = entry->buffer + dependencies_len + hashes_len;
	key->params = key->tenant + key->tenant_len;
	content->payload = key->params + key->params_len;
	return !file->failed;
}
