/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The version of all parts: the program, the kernel module, the packages. */
#ifndef SHORTFUSE_VERSION_H
#define SHORTFUSE_VERSION_H

#define SHORTFUSE_VERSION "0.2.0"

#endif
