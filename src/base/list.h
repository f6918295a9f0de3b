/*
 * list: intrusive and circular. The head is a node of its own; a node that is in no list points to itself.
 */
#pragma once

#include "base/attributes.h"

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *list)
{
    list->next = list->prev = list;
}
static inline bool list_is_empty(const struct list *list)
{
    return list->next == list;
}
static inline void list_insert_before(struct list *at, struct list *node)
{
    node->next = at;
    node->prev = at->prev;
    at->prev->next = node;
    at->prev = node;
}
static inline void list_push_back(struct list *list, struct list *node)
{
    list_insert_before(list, node);
}
static inline void list_push_front(struct list *list, struct list *node)
{
    list_insert_before(list->next, node);
}
/* Harmless for a node that is in no list. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
/* Moves every node of `from` to the back of `to`. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}
#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)
#define LIST_EACH(node, head)                                                                      \
    for (struct list *node = (head)->next; node != (head); node = node->next)
/* The body may remove `node`. */
#define LIST_EACH_SAFE(node, after, head)                                                          \
    for (struct list *node = (head)->next, *after = node->next; node != (head);                    \
         node = after, after = node->next)
