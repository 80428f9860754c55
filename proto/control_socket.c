/* proto/control_socket.c */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "proto/control_socket.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
enum { KIND = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, BACKLOG = 32 };

static int address_of(const char *path, struct sockaddr_un *ret)
{
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof ret->sun_path)
		return -ENAMETOOLONG;
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret->sun_path, path, len);
	return 0;
}

int control_dial(const char *path)
{
	struct sockaddr_un to;
	int r = address_of(path, &to), fd;

	if (r)
		return r;
	fd = socket(AF_UNIX, KIND, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

int control_dial_own(const char *path)
{
	static const struct control_allow nobody = { .group = (gid_t)CONTROL_GROUP_NONE };
	struct control_peer who;
	int fd = control_dial(path), r;

	if (fd < 0)
		return fd;
	r = control_check_peer(fd, &nobody, &who);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

/* Make way: what a dead process left is removed, anything else stays and is an error. */
static int clear_path(const char *path)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = control_dial(path);
	if (fd >= 0) {
		close(fd);
		return -EADDRINUSE;
	}
	if (fd == -EAGAIN || fd == -EPROTOTYPE)		/* its backlog is full, or it is a socket of another kind: alive */
		return -EADDRINUSE;
	if (fd != -ECONNREFUSED)
		return fd;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int control_listen(const char *path, gid_t group)
{
	struct sockaddr_un at;
	mode_t mask;
	int r, fd;

	r = address_of(path, &at);
	if (r == 0)
		r = clear_path(path);
	if (r)
		return r;
	fd = socket(AF_UNIX, KIND, 0);
	if (fd < 0)
		return -errno;
	mask = umask(0177);		/* nobody else in between bind and the rest */
	r = bind(fd, (struct sockaddr *)&at, sizeof at) < 0 ? -errno : 0;
	umask(mask);
	if (r)
		goto fail;
	if ((group != (gid_t)CONTROL_GROUP_NONE && chown(path, (uid_t)-1, group) < 0) || chmod(path, 0660) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		r = -errno;
		unlink(path);
		goto fail;
	}
	return fd;
fail:
	close(fd);
	return r;
}

int control_accept(int listener)
{
	int fd;

	do
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return fd < 0 ? -errno : fd;
}

/* Is `group` one of the peer's supplementary groups?  0, -EPERM, -errno. */
static int check_groups(int fd, gid_t group)
{
	socklen_t len = 0;
	gid_t *at;
	int r = -EPERM;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0)
		return -EPERM;		/* none at all */
	if (errno != ERANGE)
		return -errno;
	at = malloc(len);
	if (at == NULL)
		return -ENOMEM;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, at, &len) < 0)
		r = -errno;
	for (size_t i = 0; r == -EPERM && i < len / sizeof *at; i++)
		if (at[i] == group)
			r = 0;
	free(at);
	return r;
}

int control_check_peer(int fd, const struct control_allow *allow, struct control_peer *ret)
{
	struct ucred who;
	socklen_t len = sizeof who;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return -errno;
	*ret = (struct control_peer){ who.pid, who.uid, who.gid };
	if (who.uid == 0 || who.uid == geteuid())
		return 0;
	for (unsigned i = 0; i < allow->uid_count && i < CONTROL_ALLOW_UIDS; i++)
		if (allow->uids[i] == who.uid)
			return 0;
	if (allow->group == (gid_t)CONTROL_GROUP_NONE)
		return -EPERM;
	return who.gid == allow->group ? 0 : check_groups(fd, allow->group);
}

int control_pair(int ret_fds[2])
{
	return socketpair(AF_UNIX, KIND, 0, ret_fds) < 0 ? -errno : 0;
}
