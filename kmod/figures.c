// SPDX-License-Identifier: GPL-2.0
/*
 * How the requests of an attached mount were answered. The programs also count, but the module may
 * reject a program's answer, runs some for its own queries, and answers others without a program.
 */
#include <linux/file.h>
#include <linux/percpu.h>
#include <linux/srcu.h> /* which 7.3's rcupdate_trace.h forgets */
#include <linux/rcupdate_trace.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "foreign.h"

void sf_count(struct sf_foreign *foreign, u32 opcode, bool is_answered)
{
	if (is_answered)
		this_cpu_inc(foreign->tally->answered[opcode]);
	else
		this_cpu_inc(foreign->tally->asked[opcode]);
}

static void sf_sum(const struct sf_foreign *foreign, struct sf_figures *figures)
{
	int cpu;

	memset(figures->answered, 0, sizeof(figures->answered));
	memset(figures->asked, 0, sizeof(figures->asked));
	for_each_possible_cpu(cpu) {
		const struct sf_tally *tally = per_cpu_ptr(foreign->tally, cpu);

		for (int i = 0; i < SF_OPCODES; i++) {
			figures->answered[i] += READ_ONCE(tally->answered[i]);
			figures->asked[i] += READ_ONCE(tally->asked[i]);
		}
	}
	figures->handles = atomic_read(&foreign->idle);
	figures->owed = sf_nodes_granted(foreign);
}

long sf_figures_ioctl(struct sf_figures __user *argument)
{
	struct sf_figures *figures = memdup_user(argument, sizeof(*figures));
	struct sf_attachment *attachment;
	struct fuse_conn *conn;
	struct file *file;
	long error = -ENOTCONN;

	if (IS_ERR(figures))
		return PTR_ERR(figures);
	file = fget_raw(figures->fd);
	if (!file) {
		kfree(figures);
		return -EBADF;
	}
	/* Without an attachment the layout is not known. */
	if (smp_load_acquire(&sf_attached)) {
		conn = sf_foreign_conn(file, &sf_layout);
		rcu_read_lock_trace();
		attachment = IS_ERR(conn) ? NULL : sf_find(conn);
		if (attachment && attachment->foreign) {
			sf_sum(attachment->foreign, figures);
			error = 0;
		} else if (IS_ERR(conn)) {
			error = PTR_ERR(conn);
		}
		rcu_read_unlock_trace();
	}
	fput(file);
	if (!error && copy_to_user(argument, figures, sizeof(*figures)))
		error = -EFAULT;
	kfree(figures);
	return error;
}
