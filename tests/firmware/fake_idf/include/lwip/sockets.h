#ifndef FAKE_LWIP_SOCKETS_H
#define FAKE_LWIP_SOCKETS_H
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#endif
