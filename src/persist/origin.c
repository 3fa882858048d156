/*-------------------------------------------------------------------------
 *
 * origin.c
 *		Whose entries, and of which moment?
 *
 * Entries that were right at a clean shutdown are right when the server starts
 * from exactly there: from the same cluster, at the same shutdown checkpoint,
 * with nothing to be recovered.  Whatever has been done to the data meanwhile
 * (another postmaster, a single-user session, a restore, pg_rewind,
 * pg_resetwal, a promotion) has left another checkpoint, or asks for recovery.
 * Copies of a cluster go on in the same places of the same timeline, each with data
 * of its own; so the whole of pg_control has to be what it was, by its checksum,
 * with the second of the checkpoint.
 *
 * "build" names what decides which bytes mean what: the server, with the options it
 * was configured with (such as LZ4, without which what it has compressed cannot be
 * read), this library, and the libraries that compare and hash text.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "persist/origin.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "catalog/pg_collation.h"
#include "common/config_info.h"
#include "common/controldata_utils.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/pg_locale.h"

/* A hash of the options that the server was configured with. */
static uint32
configuration(void)
{
	size_t		n;
	ConfigData *config = get_configdata(my_exec_path, &n);
	uint32		hash = 0;

	for (size_t i = 0; i < n; i++)
	{
		if (strcmp(config[i].name, "CONFIGURE") == 0)
			hash = hash_bytes((const unsigned char *) config[i].setting,
							  strlen(config[i].setting));
	}
	return hash;
}

static void
describe_build(char *build, Size size)
{
	char	   *libc = get_collation_actual_version(COLLPROVIDER_LIBC, "en_US");
	char	   *icu = NULL;

#ifdef USE_ICU
	icu = get_collation_actual_version(COLLPROVIDER_ICU, "und");
#endif
	memset(build, 0, size);
	/* the server that runs, not the one that this was compiled for */
	snprintf(build, size, "dashcache %s, libc %s, ICU %s, %08x, %s", DASHCACHE_VERSION,
			 libc != NULL ? libc : "-", icu != NULL ? icu : "-", configuration(),
			 TextDatumGetCString(pgsql_version(NULL)));
}

/*
 * What the files on disk are, by pg_control, and the transaction ID that is next.
 * False if they were not left by a clean shutdown of a server that was no
 * standby.
 */
bool
dc_origin_now(DcSavedOrigin *origin, uint64 *next_xid)
{
	bool		crc_ok;
	ControlFileData *control = get_controlfile(DataDir, &crc_ok);
	bool		clean = crc_ok && control->state == DB_SHUTDOWNED;

	origin->system = control->system_identifier;
	origin->checkpoint = control->checkPoint;
	origin->timeline = control->checkPointCopy.ThisTimeLineID;
	origin->control = control->crc;
	describe_build(origin->build, sizeof(origin->build));
	*next_xid = U64FromFullTransactionId(control->checkPointCopy.nextXid);
	pfree(control);
	return clean;
}

/* In what two origins differ; NULL: they are the same. */
const char *
dc_origin_differs(const DcSavedOrigin *saved, const DcSavedOrigin *now)
{
	if (saved->system != now->system)
		return "It was written by another database cluster.";
	if (saved->timeline != now->timeline || saved->checkpoint != now->checkpoint ||
		saved->control != now->control)
		return "It was not written at the shutdown from which the server starts.";
	if (memcmp(saved->build, now->build, sizeof(saved->build)) != 0)
		return "It was written by another version of the server, of dashcache, or of a library that compares text.";
	return NULL;
}

/* The file by which the server is asked to recover, if there is one. */
const char *
dc_origin_recovery_requested(void)
{
	static const char *const files[] = {
		BACKUP_LABEL_FILE, RECOVERY_SIGNAL_FILE, STANDBY_SIGNAL_FILE
	};
	struct stat status;

	for (int i = 0; i < lengthof(files); i++)
	{
		if (stat(files[i], &status) == 0 || errno != ENOENT)
			return files[i];
	}
	return NULL;
}
