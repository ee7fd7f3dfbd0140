#ifndef FAKE_LWIP_SOCKETS_H
#define FAKE_LWIP_SOCKETS_H
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
int fake_socket(int domain, int type, int protocol);
#define socket fake_socket
#endif
