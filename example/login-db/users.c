/*
 * users.c: the database. users_prepare() runs on main, users_login() on the threads of the pool, several at a time.
 *
 * Each thread has a connection to the database and a prepared statement, so threads share nothing here. Writers of one
 * SQLite file still wait for each other, inside SQLite, up to BUSY_MS: that is why this is not done on a worker.
 */
#include "users.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "login.h"

enum { BUSY_MS = 3000 };

struct session {
    sqlite3 *db;
    sqlite3_stmt *login;
    dev_t dev; /* which file it was opened on */
    ino_t ino;
};

static const char *users_path; /* constant once main has prepared it */
/* Of each thread: its struct session; the key closes it when the thread ends. */
static pthread_key_t sessions;

static const char schema[] =
    "PRAGMA journal_mode = WAL;" /* readers and a writer at the same time */
    "BEGIN;"
    "CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, token INTEGER NOT NULL, logins INTEGER NOT NULL) STRICT;"
    "INSERT OR IGNORE INTO users VALUES ('ada', 1815, 0), ('grace', 1906, 0), ('alan', 1912, 0);"
    "COMMIT;";

static void session_close(void *arg) /* takes NULL */
{
    struct session *s = arg;
    if (s == NULL)
        return;
    sqlite3_finalize(s->login);
    sqlite3_close(s->db);
    free(s);
}

sint32 users_prepare(const char *path)
{
    sqlite3 *db = NULL;
    users_path = path;
    int rc = sqlite3_open(path, &db);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(db, BUSY_MS);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, schema, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        fprintf(stderr, "login-db: %s: %s\n", path, db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
    sqlite3_close(db);
    return rc == SQLITE_OK && pthread_key_create(&sessions, session_close) == 0 ? 0 : -1;
}

static void session_drop(void)
{
    session_close(pthread_getspecific(sessions));
    pthread_setspecific(sessions, NULL);
}

/* Somebody may have moved the file away or put another in its place: SQLite would go on with the old one, and count
 * logins that nobody finds again. */
static bool session_is_current(const struct session *s)
{
    struct stat st;
    return stat(users_path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino;
}

/* This thread's session. NULL if the database cannot be opened now; the next call tries again. */
static struct session *session_get(LOG_QUEUE *q)
{
    static const char login[] =
        "UPDATE users SET logins = logins + 1 WHERE name = ?1 AND token = ?2 RETURNING logins";
    struct session *s = pthread_getspecific(sessions);
    struct stat st = {0};
    if (s != NULL && session_is_current(s))
        return s;
    session_drop();
    s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    /* Before it is opened: too old a file is noticed, too new a one would not be. */
    if (stat(users_path, &st) == 0) {
        s->dev = st.st_dev;
        s->ino = st.st_ino;
    }
    /* No mutex: the connection stays on this thread. */
    if (sqlite3_open_v2(users_path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
        sqlite3_busy_timeout(s->db, BUSY_MS) == SQLITE_OK &&
        sqlite3_exec(s->db, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(s->db, login, -1, &s->login, NULL) == SQLITE_OK &&
        pthread_setspecific(sessions, s) == 0)
        return s;
    slog_err_t(q, "%s: %s", users_path, s->db != NULL ? sqlite3_errmsg(s->db) : "no memory");
    session_close(s);
    return NULL;
}

uint32 users_login(const char *name, uint64 token, uint32 *logins, LOG_QUEUE *q)
{
    struct session *s = session_get(q);
    uint32 answer = LOGIN_UNAVAILABLE;
    if (s == NULL)
        return answer;
    sqlite3_bind_text(s->login, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s->login, 2, (sqlite3_int64) token);
    int rc = sqlite3_step(s->login);
    if (rc == SQLITE_ROW) {
        *logins = (uint32) sqlite3_column_int64(s->login, 0);
        rc = sqlite3_step(s->login); /* to the end: the change is committed then */
        answer = LOGIN_GRANTED;
    } else if (rc == SQLITE_DONE) {
        answer = LOGIN_DENIED;
    }
    if (rc != SQLITE_DONE) {
        slog_err_t(q, "%s: %s", users_path, sqlite3_errmsg(s->db));
        answer = LOGIN_UNAVAILABLE;
        *logins = 0;
    }
    sqlite3_reset(s->login);
    sqlite3_clear_bindings(s->login); /* name is the caller's */
    if (rc != SQLITE_DONE && rc != SQLITE_BUSY)
        session_drop(); /* what is wrong with the file may be mended by the next time */
    return answer;
}
