/*
 * path.c: paths that do not depend on the working directory, for a daemon. No state.
 */
#include "row.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Write path to out, a relative one below base. Returns 0, or -1 with errno. */
static sint32 path_make_absolute(const char *base, char *out, size_t size, const char *path)
{
    bool is_relative = path[0] != '/';
    int len = snprintf(out, size, "%s%s%s", is_relative ? base : "", is_relative ? "/" : "", path);
    errno = ENAMETOOLONG;
    return len >= 0 && (size_t) len < size ? 0 : -1;
}

/* Write the list to out with every unix path absolute. Returns 0, or -1 with errno. */
static sint32 list_make_absolute(const char *base, char *out, size_t size, const char *list)
{
    size_t used = 0;
    for (; *list != '\0'; list += list[0] == ',') {
        char entry[PATH_MAX] = "";
        size_t len = strcspn(list, ",");
        errno = ENAMETOOLONG;
        if (!copy_trimmed(entry, sizeof entry, list, len))
            return -1;
        list += len;
        bool is_unix = strncmp(entry, "unix:", 5) == 0;
        int head = snprintf(out + used, size - used, "%s%s", used ? "," : "", is_unix ? "unix:" : entry);
        if (head < 0 || (size_t) head >= size - used)
            return -1;
        used += (size_t) head;
        if (is_unix && path_make_absolute(base, out + used, size - used, entry + 5) != 0)
            return -1;
        used += strlen(out + used);
    }
    return 0;
}

/* The same of a list of addresses in place. */
static sint32 addresses_make_absolute(const char *base, char *all, size_t size, const char *section,
                                      struct conf_error *err)
{
    char list[CONF_LISTEN_SIZE], why[WHY_SIZE];
    struct place place = {.file = "--daemon"};
    if (list_make_absolute(base, list, size, all) != 0)
        return conf_fail(err, &place, section, "listen", NULL, "%s", strerror(errno));
    if (mario_listen_check(list, why, sizeof why) != 0)
        return conf_fail(err, &place, section, "listen", NULL, "%s", why);
    memcpy(all, list, strlen(list) + 1);
    return 0;
}

/* The same of a path in place, unless it is "-". */
static sint32 file_make_absolute(const char *base, char *file, size_t size, const char *section,
                                 const char *key, struct conf_error *err)
{
    char path[PATH_MAX];
    struct place place = {.file = "--daemon"};
    if (strcmp(file, "-") == 0 || file[0] == '\0')
        return 0;
    if (path_make_absolute(base, path, size, file) != 0)
        return conf_fail(err, &place, section, key, NULL, "%s", strerror(errno));
    memcpy(file, path, strlen(path) + 1);
    return 0;
}

static sint32 certificates_make_absolute(struct maritcp_conf *conf, struct conf_error *err)
{
    struct rows all = rows_of(conf, NULL);
    for (const struct row *row; (row = rows_next(&all)) != NULL;) {
        if (row->type == ROW_FILE && file_make_absolute(conf->base, (char *) conf + row->at, row->max + 1,
                                                        row->section, row->key, err) != 0)
            return -1;
    }
    return 0;
}

sint32 conf_make_absolute(struct maritcp_conf *conf, struct conf_error *err)
{
    struct place place = {.file = "--daemon"};
    if (conf->base[0] == '\0' && getcwd(conf->base, sizeof conf->base) == NULL)
        return conf_fail(err, &place, NULL, NULL, NULL, "%s", strerror(errno));
    if (file_make_absolute(conf->base, conf->file, sizeof conf->file, NULL, NULL, err) != 0)
        return -1;
    if (value_is_path(conf->log_file) &&
        file_make_absolute(conf->base, conf->log_file, sizeof conf->log_file, "log", "file", err) != 0)
        return -1;
    if (file_make_absolute(conf->base, conf->cluster_password_file, sizeof conf->cluster_password_file,
                           "cluster", "password_file", err) != 0 ||
        file_make_absolute(conf->base, conf->admin_token_file, sizeof conf->admin_token_file, "admin",
                           "token_file", err) != 0 ||
        file_make_absolute(conf->base, conf->admit_allow_file, sizeof conf->admit_allow_file, "admit",
                           "allow_file", err) != 0 ||
        file_make_absolute(conf->base, conf->admit_deny_file, sizeof conf->admit_deny_file, "admit",
                           "deny_file", err) != 0 ||
        certificates_make_absolute(conf, err) != 0)
        return -1;
    if (strcmp(conf->admin_listen, "-") != 0 &&
        addresses_make_absolute(conf->base, conf->admin_listen, sizeof conf->admin_listen, "admin", err) != 0)
        return -1;
    return addresses_make_absolute(conf->base, conf->listen, sizeof conf->listen, "server", err);
}
