#include "io/sockmap_internal.h"

#include <assert.h>
#include <linux/tcp.h>

/* --- a small assembler ----------------------------------------------------------------------- */

enum label { OUT, PASSIVE, KEYED, JOIN, CLOSING, ALONE, FULL, LAYERED, LEAVE, LABELS };

struct code {
    struct bpf_insn *out;
    size_t count;
    size_t at[LABELS];                        /* where a label stands, plus 1 */
    uint8_t target[SOCKMAP_INSTRUCTIONS_MAX]; /* of the jump there, plus 1 */
};

static void emit(struct code *code, unsigned opcode, unsigned to, unsigned from, int offset,
                 int value)
{
    assert(code->count < SOCKMAP_INSTRUCTIONS_MAX);
    code->out[code->count++] = (struct bpf_insn){.code = (uint8_t)opcode,
                                                 .dst_reg = (uint8_t)(to & 15),
                                                 .src_reg = (uint8_t)(from & 15),
                                                 .off = (int16_t)offset,
                                                 .imm = value};
}

static void load(struct code *code, unsigned size, unsigned to, unsigned from, int offset)
{
    emit(code, BPF_LDX | BPF_MEM | size, to, from, offset, 0);
}
static void store(struct code *code, unsigned size, unsigned to, int offset, unsigned from)
{
    emit(code, BPF_STX | BPF_MEM | size, to, from, offset, 0);
}
static void store_value(struct code *code, unsigned size, unsigned to, int offset, int value)
{
    emit(code, BPF_ST | BPF_MEM | size, to, 0, offset, value);
}
static void copy(struct code *code, unsigned to, unsigned from)
{
    emit(code, BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}
static void set(struct code *code, unsigned to, int value)
{
    emit(code, BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
}
static void add(struct code *code, unsigned to, int value)
{
    emit(code, BPF_ALU64 | BPF_ADD /* | BPF_K, which is 0 */, to, 0, 0, value);
}
static void add_register(struct code *code, unsigned to, unsigned from)
{
    emit(code, BPF_ALU64 | BPF_ADD | BPF_X, to, from, 0, 0);
}
static void set_map(struct code *code, unsigned to, int map)
{
    emit(code, BPF_LD | BPF_DW /* | BPF_IMM, which is 0 */, to, BPF_PSEUDO_MAP_FD, 0, map);
    emit(code, 0, 0, 0, 0, 0);
}
static void call(struct code *code, int function)
{
    emit(code, BPF_JMP | BPF_CALL, 0, 0, 0, function);
}
static void stand(struct code *code, enum label label)
{
    code->at[label] = code->count + 1;
}
static void go_if(struct code *code, unsigned test, unsigned left, int value, enum label label)
{
    code->target[code->count] = (uint8_t)(label + 1);
    emit(code, BPF_JMP | test | BPF_K, left, 0, 0, value);
}
static void go_if_equal(struct code *code, unsigned left, unsigned right, enum label label)
{
    code->target[code->count] = (uint8_t)(label + 1);
    emit(code, BPF_JMP | BPF_JEQ | BPF_X, left, right, 0, 0);
}
static void go_if_greater(struct code *code, unsigned left, unsigned right, enum label label)
{
    code->target[code->count] = (uint8_t)(label + 1);
    emit(code, BPF_JMP | BPF_JGT | BPF_X, left, right, 0, 0);
}
static void go(struct code *code, enum label label)
{
    go_if(code, BPF_JA, 0, 0, label);
}

static size_t finish(struct code *code)
{
    for (size_t i = 0; i < code->count; i++) {
        if (!code->target[i])
            continue;
        size_t at = code->at[code->target[i] - 1];
        assert(at > 0);
        code->out[i].off = (int16_t)((int)at - 1 - (int)i - 1);
    }
    return code->count;
}

/* --- what both do ---------------------------------------------------------------------------- */

/* Registers: 0 answers, 1 to 5 are spent by a call, 6 to 9 stay, 10 is the stack's upper end. */
enum { ANSWER, ONE, TWO, THREE, FOUR, FIVE, CONTEXT, SEVEN, EIGHT, NINE, STACK };

/* The stack, downwards. */
enum {
    KEY = -(int)sizeof(struct sockmap_key),
    SIDE = KEY + (int)offsetof(struct sockmap_key, side),
    END = KEY - (int)sizeof(struct sockmap_end),
    WORD = END - 8, /* 8 bytes */
    CLAIMED = WORD - 8,
    HELD = CLAIMED - 8,
};

/* The record of the context's socket; `flags` says whether it is made. A missing one ends the program. */
static void find_record(struct code *code, const struct sockmap *sockmap, int flags)
{
    set_map(code, ONE, sockmap->records);
    set(code, THREE, 0);
    set(code, FOUR, flags);
    call(code, BPF_FUNC_sk_storage_get);
}

static void find_in(struct code *code, int map, int key)
{
    set_map(code, ONE, map);
    copy(code, TWO, STACK);
    add(code, TWO, key);
    call(code, BPF_FUNC_map_lookup_elem);
}

static void copy_key(struct code *code, unsigned to, int to_offset, unsigned from, int from_offset)
{
    for (int i = 0; i < (int)sizeof(struct sockmap_key); i += 8) {
        load(code, BPF_DW, FIVE, from, from_offset + i);
        store(code, BPF_DW, to, to_offset + i, FIVE);
    }
}

/* Leaves the CPU's struct sockmap_counts in ANSWER, or ends the program. */
static void find_counts(struct code *code, const struct sockmap *sockmap)
{
    store_value(code, BPF_W, STACK, WORD, 0);
    find_in(code, sockmap->counts, WORD);
    go_if(code, BPF_JEQ, ANSWER, 0, OUT);
}

static void count_one(struct code *code, int counter)
{
    load(code, BPF_DW, ONE, ANSWER, counter);
    add(code, ONE, 1);
    store(code, BPF_DW, ANSWER, counter, ONE);
}

static void end_with(struct code *code, int answer)
{
    stand(code, OUT);
    set(code, ANSWER, answer);
    emit(code, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

#define FIELD(type, name) ((int)offsetof(struct type, name))
#define RECORD(name) FIELD(sockmap_record, name)

/* --- when a connection is established ---------------------------------------------------------- */

/* Bytes that came with the handshake (TCP Fast Open) would be overtaken: such a connection stays out. */
static void refuse_early_bytes(struct code *code)
{
    load(code, BPF_W, ONE, CONTEXT, FIELD(bpf_sock_ops, data_segs_out));
    go_if(code, BPF_JNE, ONE, 0, OUT);
    load(code, BPF_DW, ONE, CONTEXT, FIELD(bpf_sock_ops, bytes_received));
    go_if(code, BPF_JNE, ONE, 0, OUT);
}

static void find_network(struct code *code, const struct sockmap *sockmap)
{
    copy(code, ONE, CONTEXT);
    call(code, BPF_FUNC_get_netns_cookie);
    store(code, BPF_DW, STACK, KEY, ANSWER);
    find_in(code, sockmap->networks, KEY);
    go_if(code, BPF_JEQ, ANSWER, 0, OUT);
}

/* EIGHT is the side. */
static void make_key(struct code *code)
{
    store(code, BPF_W, STACK, SIDE, EIGHT);
    go_if(code, BPF_JNE, EIGHT, SOCKMAP_CLIENT, PASSIVE);
    load(code, BPF_W, ONE, CONTEXT, FIELD(bpf_sock_ops, local_port));
    load(code, BPF_W, TWO, CONTEXT, FIELD(bpf_sock_ops, snd_nxt));
    load(code, BPF_W, THREE, CONTEXT, FIELD(bpf_sock_ops, rcv_nxt));
    go(code, KEYED);
    stand(code, PASSIVE);
    load(code, BPF_W, ONE, CONTEXT, FIELD(bpf_sock_ops, remote_port));
    emit(code, BPF_ALU | BPF_END | BPF_TO_BE, ONE, 0, 0, 32);
    load(code, BPF_W, TWO, CONTEXT, FIELD(bpf_sock_ops, rcv_nxt));
    load(code, BPF_W, THREE, CONTEXT, FIELD(bpf_sock_ops, snd_nxt));
    stand(code, KEYED);
    store(code, BPF_W, STACK, KEY + FIELD(sockmap_key, client_port), ONE);
    store(code, BPF_W, STACK, KEY + FIELD(sockmap_key, client_sequence), TWO);
    store(code, BPF_W, STACK, KEY + FIELD(sockmap_key, server_sequence), THREE);
}

static void load_socket(struct code *code)
{
    load(code, BPF_DW, TWO, CONTEXT, FIELD(bpf_sock_ops, sk));
    go_if(code, BPF_JEQ, TWO, 0, OUT);
}

/* The listener's mark came with the clone, the dialler's was set before it connected. */
static void find_claim(struct code *code, const struct sockmap *sockmap)
{
    store_value(code, BPF_DW, STACK, CLAIMED, 0);
    load_socket(code);
    find_record(code, sockmap, 0);
    emit(code, BPF_JMP | BPF_JEQ | BPF_K, ANSWER, 0, 2, 0);
    load(code, BPF_W, ONE, ANSWER, FIELD(sockmap_record, is_claimed));
    store(code, BPF_W, STACK, CLAIMED, ONE);
}

/* The client's end is established first: a server's joins it, or stays out. One of the two is the proxy's, not both. */
static void meet_client(struct code *code, const struct sockmap *sockmap)
{
    go_if(code, BPF_JEQ, EIGHT, SOCKMAP_CLIENT, JOIN);
    store_value(code, BPF_W, STACK, SIDE, SOCKMAP_CLIENT);
    find_in(code, sockmap->ends, KEY);
    go_if(code, BPF_JEQ, ANSWER, 0, OUT);
    load(code, BPF_W, ONE, ANSWER, FIELD(sockmap_end, is_claimed));
    load(code, BPF_W, TWO, STACK, CLAIMED);
    go_if_equal(code, ONE, TWO, OUT);
    store_value(code, BPF_W, STACK, SIDE, SOCKMAP_SERVER);
}

/* A joined socket's record says so only when the maps have it. */
static void join(struct code *code, const struct sockmap *sockmap)
{
    stand(code, JOIN);
    load_socket(code);
    store(code, BPF_DW, STACK, END, TWO);
    load(code, BPF_W, ONE, STACK, CLAIMED);
    store(code, BPF_W, STACK, END + FIELD(sockmap_end, is_claimed), ONE);
    store_value(code, BPF_W, STACK, END + FIELD(sockmap_end, unused), 0);
    find_record(code, sockmap, BPF_SK_STORAGE_GET_F_CREATE);
    go_if(code, BPF_JEQ, ANSWER, 0, OUT);
    copy(code, SEVEN, ANSWER);
    copy_key(code, SEVEN, RECORD(key), STACK, KEY);
    set_map(code, ONE, sockmap->ends);
    copy(code, TWO, STACK);
    add(code, TWO, KEY);
    copy(code, THREE, STACK);
    add(code, THREE, END);
    set(code, FOUR, BPF_NOEXIST);
    call(code, BPF_FUNC_map_update_elem);
    go_if(code, BPF_JNE, ANSWER, 0, OUT);
    copy(code, ONE, CONTEXT);
    set_map(code, TWO, sockmap->sockets);
    copy(code, THREE, STACK);
    add(code, THREE, KEY);
    set(code, FOUR, BPF_NOEXIST);
    call(code, BPF_FUNC_sock_hash_update);
    go_if(code, BPF_JNE, ANSWER, 0, LEAVE);
    store_value(code, BPF_W, SEVEN, RECORD(has_joined), 1);
    copy(code, ONE, CONTEXT);
    load(code, BPF_W, TWO, CONTEXT, FIELD(bpf_sock_ops, bpf_sock_ops_cb_flags));
    emit(code, BPF_ALU64 | BPF_OR | BPF_K, TWO, 0, 0, BPF_SOCK_OPS_STATE_CB_FLAG);
    call(code, BPF_FUNC_sock_ops_cb_flags_set);
    go_if(code, BPF_JEQ, EIGHT, SOCKMAP_CLIENT, OUT);
    find_counts(code, sockmap);
    count_one(code, FIELD(sockmap_counts, pairs));
    go(code, OUT);
}

/* The map of sockets forgets by itself; the ends are ours to forget. */
static void close_end(struct code *code, const struct sockmap *sockmap)
{
    stand(code, CLOSING);
    load(code, BPF_W, ONE, CONTEXT, FIELD(bpf_sock_ops, args) + (int)sizeof(uint32_t));
    go_if(code, BPF_JNE, ONE, BPF_TCP_CLOSE, OUT);
    load_socket(code);
    find_record(code, sockmap, 0);
    go_if(code, BPF_JEQ, ANSWER, 0, OUT);
    copy_key(code, STACK, KEY, ANSWER, RECORD(key));
    stand(code, LEAVE);
    set_map(code, ONE, sockmap->ends);
    copy(code, TWO, STACK);
    add(code, TWO, KEY);
    call(code, BPF_FUNC_map_delete_elem);
}

size_t sockmap_program_establish(const struct sockmap *sockmap,
                                 struct bpf_insn out[SOCKMAP_INSTRUCTIONS_MAX])
{
    struct code code = {.out = out};
    copy(&code, CONTEXT, ONE);
    load(&code, BPF_W, ONE, CONTEXT, FIELD(bpf_sock_ops, op));
    go_if(&code, BPF_JEQ, ONE, BPF_SOCK_OPS_STATE_CB, CLOSING);
    set(&code, EIGHT, SOCKMAP_CLIENT);
    emit(&code, BPF_JMP | BPF_JEQ | BPF_K, ONE, 0, 2, BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB);
    set(&code, EIGHT, SOCKMAP_SERVER);
    go_if(&code, BPF_JNE, ONE, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, OUT);
    refuse_early_bytes(&code);
    find_network(&code, sockmap);
    make_key(&code);
    find_claim(&code, sockmap);
    meet_client(&code, sockmap);
    join(&code, sockmap);
    close_end(&code, sockmap);
    end_with(&code, 1);
    return finish(&code);
}

/* --- when one end sends ------------------------------------------------------------------------ */

/* SEVEN becomes the record, the key on the stack the other end's, EIGHT that end. */
static void find_other_end(struct code *code, const struct sockmap *sockmap)
{
    load(code, BPF_DW, TWO, CONTEXT, FIELD(sk_msg_md, sk));
    find_record(code, sockmap, 0);
    go_if(code, BPF_JEQ, ANSWER, 0, OUT);
    load(code, BPF_W, ONE, ANSWER, FIELD(sockmap_record, sending));
    go_if(code, BPF_JEQ, ONE, SOCKMAP_LEFT, OUT);
    copy(code, SEVEN, ANSWER);
    copy_key(code, STACK, KEY, SEVEN, RECORD(key));
    load(code, BPF_W, ONE, STACK, SIDE);
    emit(code, BPF_ALU64 | BPF_XOR | BPF_K, ONE, 0, 0, SOCKMAP_CLIENT ^ SOCKMAP_SERVER);
    store(code, BPF_W, STACK, SIDE, ONE);
    find_in(code, sockmap->ends, KEY);
    go_if(code, BPF_JEQ, ANSWER, 0, ALONE);
    copy(code, EIGHT, ANSWER);
}

/* Reads from the other end's socket into WORD. */
static void read_other_end(struct code *code, uint32_t offset, int size, enum label unreadable)
{
    copy(code, ONE, STACK);
    add(code, ONE, WORD);
    set(code, TWO, size);
    load(code, BPF_DW, THREE, EIGHT, FIELD(sockmap_end, socket));
    add(code, THREE, (int)offset);
    call(code, BPF_FUNC_probe_read_kernel);
    go_if(code, BPF_JNE, ANSWER, 0, unreadable);
}

/* With TLS in the kernel, what is seen here is not yet, or no more, what belongs on the wire. */
static void refuse_layers(struct code *code, const struct sockmap_offsets *offsets)
{
    load(code, BPF_DW, ONE, CONTEXT, FIELD(sk_msg_md, sk));
    call(code, BPF_FUNC_skc_to_tcp_sock);
    go_if(code, BPF_JEQ, ANSWER, 0, LAYERED);
    load(code, BPF_DW, ONE, ANSWER, (int)offsets->layer);
    go_if(code, BPF_JNE, ONE, 0, LAYERED);
    read_other_end(code, offsets->layer, 8, LAYERED);
    load(code, BPF_DW, ONE, STACK, WORD);
    go_if(code, BPF_JNE, ONE, 0, LAYERED);
}

/*
 * A quarter of the receiver's buffer at most: what TCP may send into the window that it has told has to fit beside. What does not
 * fit is dropped, and comes again only when the sender's timer says so, which doubles while the receiver stalls.
 */
static void refuse_full(struct code *code, const struct sockmap_offsets *offsets)
{
    read_other_end(code, offsets->received, 4, FULL);
    load(code, BPF_W, ONE, STACK, WORD);
    store(code, BPF_DW, STACK, HELD, ONE);
    read_other_end(code, offsets->room, 4, FULL);
    load(code, BPF_W, ONE, STACK, WORD);
    emit(code, BPF_ALU64 | BPF_RSH | BPF_K, ONE, 0, 0, 2);
    emit(code, BPF_JMP | BPF_JLE | BPF_K, ONE, 0, 1, SOCKMAP_QUEUE_BYTES);
    set(code, ONE, SOCKMAP_QUEUE_BYTES);
    load(code, BPF_DW, TWO, STACK, HELD);
    load(code, BPF_W, NINE, CONTEXT, FIELD(sk_msg_md, size));
    add_register(code, TWO, NINE);
    go_if_greater(code, TWO, ONE, FULL);
}

static void redirect(struct code *code, const struct sockmap *sockmap)
{
    copy(code, ONE, CONTEXT);
    set_map(code, TWO, sockmap->sockets);
    copy(code, THREE, STACK);
    add(code, THREE, KEY);
    set(code, FOUR, BPF_F_INGRESS);
    call(code, BPF_FUNC_msg_redirect_hash);
    go_if(code, BPF_JNE, ANSWER, SK_PASS, ALONE);
    store_value(code, BPF_W, SEVEN, RECORD(sending), SOCKMAP_SHORT);
    find_counts(code, sockmap);
    count_one(code, FIELD(sockmap_counts, messages));
    load(code, BPF_DW, ONE, ANSWER, FIELD(sockmap_counts, bytes));
    add_register(code, ONE, NINE);
    store(code, BPF_DW, ANSWER, FIELD(sockmap_counts, bytes), ONE);
    go(code, OUT);
}

/* From here on by TCP, which comes after what waits in the short cut. */
static void leave(struct code *code, const struct sockmap *sockmap)
{
    static const struct {
        enum label label;
        int counter;
    } ways[] = {{ALONE, FIELD(sockmap_counts, left_alone)},
                {FULL, FIELD(sockmap_counts, left_full)},
                {LAYERED, FIELD(sockmap_counts, left_layered)}};
    for (size_t i = 0; i < COUNT(ways); i++) {
        stand(code, ways[i].label);
        store_value(code, BPF_W, SEVEN, RECORD(sending), SOCKMAP_LEFT);
        find_counts(code, sockmap);
        count_one(code, ways[i].counter);
        go(code, OUT);
    }
}

size_t sockmap_program_send(const struct sockmap *sockmap, const struct sockmap_offsets *offsets,
                            struct bpf_insn out[SOCKMAP_INSTRUCTIONS_MAX])
{
    struct code code = {.out = out};
    copy(&code, CONTEXT, ONE);
    find_other_end(&code, sockmap);
    refuse_layers(&code, offsets);
    refuse_full(&code, offsets);
    redirect(&code, sockmap);
    leave(&code, sockmap);
    end_with(&code, SK_PASS);
    return finish(&code);
}
