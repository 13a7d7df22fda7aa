/* Makes a server send what it writes at once, by setting TCP_NODELAY on the connections that it accepts.
 *
 *     LD_PRELOAD=at_once.so nginx ...
 *
 * nginx-rtmp has no setting for it.  Without it the kernel merges small writes until the peer has acknowledged the ones
 * before (RFC 896), which saves the server work and makes frames late: two servers can only be compared where both
 * do the same.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

typedef int (*accept4_function)(int, struct sockaddr *, socklen_t *, int);

int accept4(int listening, struct sockaddr *address, socklen_t *size, int flags)
{
    accept4_function original = (accept4_function)dlsym(RTLD_NEXT, "accept4");
    int on = 1, fd = original(listening, address, size, flags);
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}
