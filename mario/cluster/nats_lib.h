/*
 * nats_lib.h: libnats, loaded when it is wanted: it brings a TLS library with it, some 2 MB that a process without NATS
 * need not have. Included in place of nats/nats.h. The library's functions go by their own names; one that is missing
 * here gets a line in both lists.
 */
#ifndef MARIO_CLUSTER_NATS_LIB_H
#define MARIO_CLUSTER_NATS_LIB_H

#ifdef MARIO_WITH_NATS

#include <nats/nats.h>
#include <stdbool.h>
#include <stddef.h>

#define NATS_FUNCTIONS(F)                   \
    F(natsStatus_GetText)                   \
    F(natsOptions_Create)                   \
    F(natsOptions_Destroy)                  \
    F(natsOptions_SetAllowReconnect)        \
    F(natsOptions_SetClosedCB)              \
    F(natsOptions_SetErrorHandler)          \
    F(natsOptions_SetEventLoop)             \
    F(natsOptions_SetIOBufSize)             \
    F(natsOptions_SetMaxPendingMsgs)        \
    F(natsOptions_SetMaxPingsOut)           \
    F(natsOptions_SetName)                  \
    F(natsOptions_SetNoEcho)                \
    F(natsOptions_SetPingInterval)          \
    F(natsOptions_SetSendAsap)              \
    F(natsOptions_SetServers)               \
    F(natsOptions_SetTimeout)               \
    F(natsOptions_SetToken)                 \
    F(natsOptions_SetUserInfo)              \
    F(natsOptions_UseGlobalMessageDelivery) \
    F(natsConnection_Connect)               \
    F(natsConnection_Close)                 \
    F(natsConnection_Destroy)               \
    F(natsConnection_IsClosed)              \
    F(natsConnection_Buffered)              \
    F(natsConnection_GetLastError)          \
    F(natsConnection_ProcessReadEvent)      \
    F(natsConnection_ProcessWriteEvent)     \
    F(natsConnection_Publish)               \
    F(natsConnection_PublishMsg)            \
    F(natsConnection_PublishRequest)        \
    F(natsConnection_Subscribe)             \
    F(natsSubscription_Unsubscribe)         \
    F(natsSubscription_Destroy)             \
    F(natsMsg_Create)                       \
    F(natsMsg_GetSubject)                   \
    F(natsMsg_GetReply)                     \
    F(natsMsg_GetData)                      \
    F(natsMsg_GetDataLength)                \
    F(natsMsg_IsNoResponders)               \
    F(natsMsg_Destroy)                      \
    F(natsMsgHeader_Set)

#define NATS_MEMBER(f) __typeof__(f) *f;
struct nats_lib {
    NATS_FUNCTIONS(NATS_MEMBER)
};
#undef NATS_MEMBER

extern struct nats_lib nats_lib; /* constant once it is loaded */

/* Load it, once. False with one line in why[0 .. size-1] if it is not there or is another version. Until it has
 * answered true none of its functions may be called. One thread at a time. */
bool nats_lib_load(char *why, size_t size);

#ifndef NATS_LIB_PLAIN /* nats_lib.c needs the names themselves */
#define natsStatus_GetText                   nats_lib.natsStatus_GetText
#define natsOptions_Create                   nats_lib.natsOptions_Create
#define natsOptions_Destroy                  nats_lib.natsOptions_Destroy
#define natsOptions_SetAllowReconnect        nats_lib.natsOptions_SetAllowReconnect
#define natsOptions_SetClosedCB              nats_lib.natsOptions_SetClosedCB
#define natsOptions_SetErrorHandler          nats_lib.natsOptions_SetErrorHandler
#define natsOptions_SetEventLoop             nats_lib.natsOptions_SetEventLoop
#define natsOptions_SetIOBufSize             nats_lib.natsOptions_SetIOBufSize
#define natsOptions_SetMaxPendingMsgs        nats_lib.natsOptions_SetMaxPendingMsgs
#define natsOptions_SetMaxPingsOut           nats_lib.natsOptions_SetMaxPingsOut
#define natsOptions_SetName                  nats_lib.natsOptions_SetName
#define natsOptions_SetNoEcho                nats_lib.natsOptions_SetNoEcho
#define natsOptions_SetPingInterval          nats_lib.natsOptions_SetPingInterval
#define natsOptions_SetSendAsap              nats_lib.natsOptions_SetSendAsap
#define natsOptions_SetServers               nats_lib.natsOptions_SetServers
#define natsOptions_SetTimeout               nats_lib.natsOptions_SetTimeout
#define natsOptions_SetToken                 nats_lib.natsOptions_SetToken
#define natsOptions_SetUserInfo              nats_lib.natsOptions_SetUserInfo
#define natsOptions_UseGlobalMessageDelivery nats_lib.natsOptions_UseGlobalMessageDelivery
#define natsConnection_Connect               nats_lib.natsConnection_Connect
#define natsConnection_Close                 nats_lib.natsConnection_Close
#define natsConnection_Destroy               nats_lib.natsConnection_Destroy
#define natsConnection_IsClosed              nats_lib.natsConnection_IsClosed
#define natsConnection_Buffered              nats_lib.natsConnection_Buffered
#define natsConnection_GetLastError          nats_lib.natsConnection_GetLastError
#define natsConnection_ProcessReadEvent      nats_lib.natsConnection_ProcessReadEvent
#define natsConnection_ProcessWriteEvent     nats_lib.natsConnection_ProcessWriteEvent
#define natsConnection_Publish               nats_lib.natsConnection_Publish
#define natsConnection_PublishMsg            nats_lib.natsConnection_PublishMsg
#define natsConnection_PublishRequest        nats_lib.natsConnection_PublishRequest
#define natsConnection_Subscribe             nats_lib.natsConnection_Subscribe
#define natsSubscription_Unsubscribe         nats_lib.natsSubscription_Unsubscribe
#define natsSubscription_Destroy             nats_lib.natsSubscription_Destroy
#define natsMsg_Create                       nats_lib.natsMsg_Create
#define natsMsg_GetSubject                   nats_lib.natsMsg_GetSubject
#define natsMsg_GetReply                     nats_lib.natsMsg_GetReply
#define natsMsg_GetData                      nats_lib.natsMsg_GetData
#define natsMsg_GetDataLength                nats_lib.natsMsg_GetDataLength
#define natsMsg_IsNoResponders               nats_lib.natsMsg_IsNoResponders
#define natsMsg_Destroy                      nats_lib.natsMsg_Destroy
#define natsMsgHeader_Set                    nats_lib.natsMsgHeader_Set
#endif

#endif

#endif
