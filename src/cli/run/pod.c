#include "cli/run/pod.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "cli/capture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct pod {
    int user;    /* descriptor of the user namespace */
    int network; /* descriptor of the network namespace */
};

/* The address that programs inside see as their own: shared address space (RFC 6598), never routed. */
static const char pod_address[] = "100.64.0.1";

/* What the maker tells the runner: empty text and two descriptors, or the reason why there are none. */
struct made {
    char why[480];
};

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t written = write(fd, text, strlen(text));
    int failure = written < 0 ? -errno : 0;
    close(fd);
    return failure;
}

/* Maps exactly the caller's own user and group, so that the program is who it was. */
static int map_self(uid_t uid, gid_t gid)
{
    char line[64];
    int failure = write_text("/proc/self/setgroups", "deny");
    if (failure)
        return failure;
    snprintf(line, sizeof(line), "%u %u 1", uid, uid);
    failure = write_text("/proc/self/uid_map", line);
    if (failure)
        return failure;
    snprintf(line, sizeof(line), "%u %u 1", gid, gid);
    return write_text("/proc/self/gid_map", line);
}

static int loopback_up(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int failure = ioctl(fd, SIOCSIFFLAGS, &request) == 0 ? 0 : -errno;
    close(fd);
    return failure;
}

struct netlink_request {
    struct nlmsghdr header;
    union {
        struct ifaddrmsg address;
        struct rtmsg route;
    };
    char attributes[128];
};

static void add_attribute(struct netlink_request *request, unsigned short type, const void *value,
                          size_t size)
{
    struct rtattr *attribute =
        (struct rtattr *)(void *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(size);
    memcpy(RTA_DATA(attribute), value, size);
    request->header.nlmsg_len =
        (uint32_t)(NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len));
}

/* Sends one request and waits for its acknowledgement. */
static int netlink_ask(struct netlink_request *request)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[512];
    } answer;
    request->header.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    int failure = 0;
    if (send(fd, request, request->header.nlmsg_len, 0) < 0 ||
        recv(fd, &answer, sizeof(answer), 0) < (ssize_t)sizeof(answer.header))
        failure = -errno;
    else if (answer.header.nlmsg_type == NLMSG_ERROR)
        failure = answer.error.error;
    close(fd);
    return failure;
}

static int add_address(int loopback)
{
    struct netlink_request request = {
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
                   .nlmsg_type = RTM_NEWADDR,
                   .nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE},
        .address = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = (unsigned)loopback}};
    struct in_addr address;
    inet_pton(AF_INET, pod_address, &address);
    add_attribute(&request, IFA_LOCAL, &address, sizeof(address));
    add_attribute(&request, IFA_ADDRESS, &address, sizeof(address));
    return netlink_ask(&request);
}

/* Everything goes out by loopback, where the redirection catches it. */
static int add_default_route(int loopback, unsigned char family)
{
    struct netlink_request request = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
                                                 .nlmsg_type = RTM_NEWROUTE,
                                                 .nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE},
                                      .route = {.rtm_family = family,
                                                .rtm_table = RT_TABLE_MAIN,
                                                .rtm_protocol = RTPROT_BOOT,
                                                .rtm_scope = RT_SCOPE_UNIVERSE,
                                                .rtm_type = RTN_UNICAST}};
    add_attribute(&request, RTA_OIF, &loopback, sizeof(loopback));
    struct in_addr address;
    inet_pton(AF_INET, pod_address, &address);
    if (family == AF_INET)
        add_attribute(&request, RTA_PREFSRC, &address, sizeof(address));
    return netlink_ask(&request);
}

static int set_capabilities(uint64_t effective, uint64_t inheritable)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];
    for (int i = 0; i < 2; i++) {
        sets[i].effective = sets[i].permitted = (uint32_t)(effective >> (32 * i));
        sets[i].inheritable = (uint32_t)(inheritable >> (32 * i));
    }
    return syscall(SYS_capset, &header, sets) == 0 ? 0 : -errno;
}

/* Capabilities of the pod's user namespace that survive exec: none, or the one to enter its network. */
static int keep_capability(int capability)
{
    for (unsigned long i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
        if ((int)i != capability && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) != 0)
            return -errno;
    uint64_t kept = capability < 0 ? 0 : UINT64_C(1) << capability;
    int failure = set_capabilities(kept, kept);
    if (failure || capability < 0)
        return failure;
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (unsigned long)capability, 0, 0) == 0
               ? 0
               : -errno;
}

static int make_network(void)
{
    int failure = loopback_up();
    int loopback = (int)if_nametoindex("lo");
    if (!failure)
        failure = add_address(loopback);
    if (!failure)
        failure = add_default_route(loopback, AF_INET);
    /* A kernel without IPv6 has nothing to redirect there. */
    if (!failure)
        (void)add_default_route(loopback, AF_INET6);
    return failure;
}

static bool make_namespaces(uid_t uid, gid_t gid, char *why, size_t size)
{
    const char *step = "a user namespace";
    int failure = unshare(CLONE_NEWUSER) == 0 ? 0 : -errno;
    if (!failure) {
        step = "the mapping of your user";
        failure = map_self(uid, gid);
    }
    if (!failure) {
        step = "a network namespace";
        failure = unshare(CLONE_NEWNET) == 0 ? 0 : -errno;
    }
    if (!failure) {
        step = "the loopback network";
        failure = make_network();
    }
    if (!failure) {
        step = "nft the right to change the new network";
        failure = keep_capability(CAP_NET_ADMIN);
    }
    if (failure) {
        snprintf(why, size, "the kernel refused %s: %s", step, strerror(-failure));
        return false;
    }
    struct capture capture = {.in_pod = true, .dns = true};
    owned_buffer rules = {0};
    owned_error error = {0};
    capture_rules(&capture, &rules);
    if (!capture_apply(&rules, &error)) {
        snprintf(why, size, "%s", error.what);
        return false;
    }
    return true;
}

static void send_descriptors(int socket_fd, struct made *made, const int *fds, size_t count)
{
    struct iovec bytes = {made, sizeof(*made)};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    }
    (void)sendmsg(socket_fd, &message, MSG_NOSIGNAL);
}

/* A process of its own, because unshare(CLONE_NEWUSER) would change the runner itself. */
static void NORETURN be_maker(int socket_fd)
{
    struct made made = {0};
    int fds[2] = {-1, -1};
    bool whole = make_namespaces(getuid(), getgid(), made.why, sizeof(made.why));
    if (whole) {
        fds[0] = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
        fds[1] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (fds[0] < 0 || fds[1] < 0) {
            snprintf(made.why, sizeof(made.why), "/proc/self/ns: %s", strerror(errno));
            whole = false;
        }
    }
    send_descriptors(socket_fd, &made, fds, whole ? 2 : 0);
    _exit(whole ? 0 : 1);
}

static bool receive_descriptors(int socket_fd, struct made *made, int fds[2])
{
    struct iovec bytes = {made, sizeof(*made)};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof(control.space)};
    ssize_t got;
    do
        got = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (got != (ssize_t)sizeof(*made) || !header || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(2 * sizeof(int)))
        return false;
    memcpy(fds, CMSG_DATA(header), 2 * sizeof(int));
    return true;
}

bool pod_create(struct pod **out, struct error *error)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return error_set(error, "TUL1201", "cannot make a pod: %s", strerror(errno));
    pid_t maker = fork();
    if (maker == 0)
        be_maker(pair[1]);
    close(pair[1]);
    struct made made = {0};
    int fds[2] = {-1, -1};
    bool whole = maker > 0 && receive_descriptors(pair[0], &made, fds);
    close(pair[0]);
    while (maker > 0 && waitpid(maker, NULL, 0) < 0 && errno == EINTR)
        continue;
    if (!whole) {
        error_set(error, "TUL1201", "cannot make a network of its own for the service: %s",
                  made.why[0] ? made.why : "its maker ended early");
        error_fix(error,
                  "sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone and "
                  "kernel.apparmor_restrict_unprivileged_userns decide who may; or run it as root");
        return false;
    }
    struct pod *pod = mem_new(struct pod);
    *pod = (struct pod){.user = fds[0], .network = fds[1]};
    *out = pod;
    return true;
}

void pod_destroy(struct pod *pod)
{
    if (!pod)
        return;
    close(pod->user);
    close(pod->network);
    mem_free(pod);
}

int pod_network(const struct pod *pod)
{
    return pod->network;
}

static int enter(int user, int network, int capability)
{
    if (setns(user, CLONE_NEWUSER) != 0)
        return -errno;
    if (network >= 0 && setns(network, CLONE_NEWNET) != 0)
        return -errno;
    int failure = keep_capability(capability);
    if (failure)
        return failure;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -errno;
    /* Entering a user namespace clears what child.c had asked for. */
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 ? 0 : -errno;
}

int pod_enter_service(void *pod)
{
    const struct pod *self = pod;
    return enter(self->user, self->network, -1);
}

int pod_enter_sidecar(void *pod)
{
    const struct pod *self = pod;
    return enter(self->user, -1, CAP_SYS_ADMIN);
}
