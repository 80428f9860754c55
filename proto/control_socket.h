/* proto/control_socket.h - the sockets under control links: listening, dialing, and who is at the other end.
 *
 * Guarantees: who a peer is comes from the kernel (SO_PEERCRED, SO_PEERGROUPS), never from what it says; a socket file that a
 * dead process left is replaced, a live one never.
 * Refuses: a path over sun_path (-ENAMETOOLONG); a path that is something else than a socket (-EEXIST). */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

enum { CONTROL_ALLOW_UIDS = 16, CONTROL_GROUP_NONE = -1 };

/* Who may talk to us, besides uid 0 and our own uid. */
struct control_allow {
	uid_t uids[CONTROL_ALLOW_UIDS];
	unsigned uid_count;
	gid_t group;			/* members may, effective or supplementary; (gid_t)CONTROL_GROUP_NONE: nobody */
};
struct control_peer { pid_t pid; uid_t uid; gid_t gid; };

/* Make RUN_DIR/NAME.sock and listen.
 *
 * @path   the file, mode 0660
 * @group  its group, (gid_t)CONTROL_GROUP_NONE: left as it is
 *
 * Returns the descriptor (close-on-exec, non-blocking); -EADDRINUSE: somebody listens there; -EEXIST; -ENAMETOOLONG; -errno. */
int control_listen(const char *path, gid_t group);
/* Returns a descriptor, -EAGAIN if nobody waits, -errno. */
int control_accept(int listener);
/* Returns a descriptor; -ENOENT, -ECONNREFUSED: no daemon there; -ENAMETOOLONG; -errno.  Never waits. */
int control_dial(const char *path);
/* The same, but only to a listener that runs as root or as ourselves; -EPERM: another one has taken its place. */
int control_dial_own(const char *path);
/* Who is there, and may it?  Returns 0; -EPERM (ret is set); -errno. */
int control_check_peer(int fd, const struct control_allow *allow, struct control_peer *ret);
/* Two connected ends, close-on-exec.  Returns 0, -errno. */
int control_pair(int ret_fds[2]);
