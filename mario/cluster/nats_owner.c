/*
 * nats_owner.c: whose a user is, in JetStream. Each record is the last message of a subject, its revision that
 * message's number, and it is replaced only if the revision is still what was read (compare and set); so a claim is
 * one step, begun again if somebody else was faster. The cluster's thread.
 */
#include "mario/cluster/nats_jobs.h"

#ifdef MARIO_WITH_NATS

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/mario_push.h"

/* ---- A claim ---- */

static void tell_gone(struct nats_owners *o, const struct job *j)
{
    struct bus *b = o->b;
    char bytes[j->hlen + 48], name[CHANNEL_NAME_MAX], subject[SUBJECT_MAX];
    memcpy(bytes, j->head, j->hlen);
    for (size_t i = 0; i < j->gone.n; i++) {
        const struct owner *w = &j->gone.at[i];
        struct channel c = {.kind = CHANNEL_NODE, .node = w->node};
        size_t len =
            j->hlen + (size_t) snprintf(bytes + j->hlen, 48, "%" PRIu64 " %" PRIu64, w->epoch, w->id);
        channel_name(b->config.prefix, &c, name);
        nats_subject(name, subject, sizeof subject);
        if (strcmp(w->node, b->config.node) == 0) /* what we send does not come back */
            b->events->message(b->arg, 0, &c, bytes, len);
        else
            nats_tell(b, subject, bytes, len);
    }
}

static void on_read(struct nats_owners *o, struct job *j, const struct nats_record *r);

static void on_written(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    bool lost = job_lost(o, r);
    if (!lost && r->error == 0) {
        tell_gone(o, j);
        job_finish_claim(o, j, CLAIM_OK);
    } else if (!lost && job_again(j)) {
        job_get(o, j, on_read);
    } else {
        job_finish_claim(o, j, CLAIM_FAILED);
    }
}

static void write_list(struct nats_owners *o, struct job *j)
{
    size_t len;
    char *text = owners_text(&j->list, &len);
    if (text == NULL)
        job_finish_claim(o, j, CLAIM_FAILED);
    else
        job_put(o, j, text, len, j->revision, on_written);
    free(text);
}

/* The list has those who live only. */
static void decide(struct nats_owners *o, struct job *j)
{
    struct owners *l = &j->list;
    ssize_t mine = owners_find(l, &j->me);
    uint32_t most = j->most == 0 ? 1 : j->most;
    j->gone.n = 0;
    if (mine < 0 && l->n >= most) {
        if (j->how != MARIO_BIND_KICK_OLD || j->again) {
            job_finish_claim(o, j, CLAIM_REFUSED);
            return;
        }
        while (l->n >= most && owners_add(&j->gone, &l->at[0], false))
            owners_remove(l, 0);
    }
    if (mine < 0 && !owners_add(l, &j->me, j->again)) {
        job_finish_claim(o, j, CLAIM_FAILED);
        return;
    }
    write_list(o, j);
}

static void look(struct nats_owners *o, struct job *j);

/* Of the owner whose turn it is. Those of the same node and epoch behind him are as he is. */
static void on_node(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    if (job_lost(o, r)) {
        job_finish_claim(o, j, CLAIM_FAILED);
        return;
    }
    struct owner who = j->list.at[j->look];
    bool lives = r->error == 0 && strtoull(r->text, NULL, 10) == who.epoch;
    if (lives)
        j->look++;
    for (size_t i = j->look; !lives && i < j->list.n;)
        if (j->list.at[i].epoch == who.epoch && strcmp(j->list.at[i].node, who.node) == 0)
            owners_remove(&j->list, i);
        else
            i++;
    look(o, j);
}

/* Who of them lives: our node's of this epoch do, its former ones do not, others are looked for. */
static void look(struct nats_owners *o, struct job *j)
{
    struct owners *l = &j->list;
    while (j->look < l->n) {
        const struct owner *w = &l->at[j->look];
        if (strcmp(w->node, j->me.node) != 0)
            break;
        if (w->epoch == j->me.epoch)
            j->look++;
        else
            owners_remove(l, j->look);
    }
    if (j->look == l->n) {
        decide(o, j);
        return;
    }
    job_get_node(o, j, l->at[j->look].node, on_node);
}

static void on_read(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    if (job_lost(o, r) || (r->error == 0 && !owners_parse(&j->list, r->text))) {
        job_finish_claim(o, j, CLAIM_FAILED);
        return;
    }
    if (r->error != 0)
        j->list.n = 0;
    j->revision = r->error == 0 ? r->revision : 0;
    j->look = 0;
    look(o, j);
}

/* Most who log in are nowhere else: that needs one question. */
void claim_start(struct nats_owners *o, struct job *j)
{
    j->list.n = 0;
    j->revision = 0;
    if (owners_add(&j->list, &j->me, false))
        write_list(o, j);
    else
        job_finish_claim(o, j, CLAIM_FAILED);
}

/* ---- A release ---- */

static void on_released(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    bool faster = r != NULL && !r->nobody && r->error != 0; /* somebody was */
    if (faster && job_again(j))
        job_get(o, j, release_read);
    else
        job_finish(o, j);
}

void release_read(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    ssize_t mine = -1;
    if (!job_lost(o, r) && r->error == 0 && owners_parse(&j->list, r->text))
        mine = owners_find(&j->list, &j->me);
    if (mine < 0) {
        job_finish(o, j);
        return;
    }
    owners_remove(&j->list, (size_t) mine);
    if (j->list.n == 0) {
        job_drop(o, j, r->revision, on_released);
        return;
    }
    size_t len;
    char *text = owners_text(&j->list, &len);
    if (text == NULL)
        job_finish(o, j);
    else
        job_put(o, j, text, len, r->revision, on_released);
    free(text);
}

#endif
