/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Planted faults, which a checker must find: "attach-…" in Sources/KernelCache/Fault.swift.
 * Only in builds with SF_FAULTS; selected by the module's parameter.
 */
#ifndef SHORTFUSE_FAULT_H
#define SHORTFUSE_FAULT_H

#ifdef SF_FAULTS
extern char *sf_fault;
#define sf_fault_is(name) (!strcmp(sf_fault, name))
#else
#define sf_fault_is(name) false
#endif

#endif
