// SPDX-License-Identifier: GPL-2.0
/* /dev/shortfuse: one open file attaches one connection; closing it detaches. */
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hashtable.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/rcupdate_trace.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "compat.h"
#include "foreign.h"

/* Exported by fs/fuse. */
extern const struct file_operations fuse_dev_operations;
struct fuse_conn *fuse_conn_get(struct fuse_conn *fc);
void fuse_conn_put(struct fuse_conn *fc);

/* 64 buckets: enough for hundreds of mounts on one host. */
static DEFINE_HASHTABLE(sf_conns, 6);
static DEFINE_MUTEX(sf_mutex);
static struct workqueue_struct *sf_workqueue;
unsigned int sf_attached;

struct sf_attachment *sf_find(const struct fuse_conn *conn)
{
	struct sf_attachment *attachment;

	hash_for_each_possible_rcu(sf_conns, attachment, node, (unsigned long)conn,
				   rcu_read_lock_trace_held()) {
		if (attachment->conn == conn)
			return attachment;
	}
	return NULL;
}

void sf_put_progs(struct bpf_prog **progs)
{
	for (int i = 0; i < SF_OPCODES; i++) {
		if (progs[i])
			bpf_prog_put(progs[i]);
	}
}

static void sf_free(struct sf_attachment *attachment)
{
	sf_put_progs(attachment->progs);
	if (attachment->foreign)
		sf_foreign_end(attachment->foreign);
	if (attachment->conn)
		fuse_conn_put(attachment->conn);
	kfree(attachment);
}

/* A work item, because the last put of a connection may sleep. */
static void sf_free_work(struct work_struct *work)
{
	sf_free(container_of(work, struct sf_attachment, work));
}

static void sf_free_rcu(struct rcu_head *rcu)
{
	struct sf_attachment *attachment = container_of(rcu, struct sf_attachment, rcu);

	INIT_WORK(&attachment->work, sf_free_work);
	queue_work(sf_workqueue, &attachment->work);
}

static struct bpf_prog *sf_get_prog(int fd, u32 context)
{
	struct bpf_prog *prog = bpf_prog_get_type_dev(fd, BPF_PROG_TYPE_SYSCALL, false);

	if (IS_ERR(prog))
		return NULL;
	if (sf_prog_sleepable(prog) && prog->aux->max_ctx_offset <= context)
		return prog;
	bpf_prog_put(prog);
	return NULL;
}

int sf_get_progs(struct bpf_prog **progs, const s32 *fds, u32 context, u32 read_context)
{
	for (int i = 0; i < SF_OPCODES; i++) {
		if (fds[i] < 0)
			continue;
		progs[i] = sf_get_prog(fds[i], i == FUSE_READ ? read_context : context);
		if (!progs[i])
			return -EPROTOTYPE;
	}
	return 0;
}

/* The connection of an open /dev/fuse. */
static struct fuse_conn *sf_device_conn(const struct file *file, const struct sf_layout *layout)
{
	if (file->f_op != &fuse_dev_operations)
		return ERR_PTR(-EBADF);
	if (!file->private_data)
		return ERR_PTR(-ENOTCONN);
	return sf_conn_of(file->private_data, layout);
}

static int sf_get_conn(struct sf_attachment *attachment, const struct sf_attach *request)
{
	bool is_mount = request->kind == SF_ATTACH_MOUNT;
	/* A caller that may not enter a mount, as root a user's, can open its root with O_PATH. */
	struct file *file = is_mount ? fget_raw(request->fd) : fget(request->fd);
	struct fuse_conn *conn;
	int error = 0;

	if (!file)
		return -EBADF;
	conn = is_mount ? sf_foreign_conn(file, &request->layout)
			: sf_device_conn(file, &request->layout);
	/* The open file keeps the connection until we have our own reference. */
	if (IS_ERR(conn))
		error = PTR_ERR(conn);
	else
		attachment->conn = fuse_conn_get(conn);
	fput(file);
	if (error)
		return error;
	attachment->connected =
		sf_chan_of(conn, &request->layout) + request->layout.conn_connected.offset;
	if (!is_mount)
		return 0;
	attachment->foreign = sf_foreign_new(conn, request);
	if (!IS_ERR(attachment->foreign))
		return 0;
	error = PTR_ERR(attachment->foreign);
	attachment->foreign = NULL;
	return error;
}

/* Under sf_mutex. */
static int sf_publish(struct sf_attachment *attachment, const struct sf_attach *request)
{
	static bool layout_set;

	if (sf_find(attachment->conn))
		return -EBUSY;
	if (layout_set && memcmp(&sf_layout, &request->layout, sizeof(sf_layout)))
		return -EINVAL;
	sf_layout = request->layout;
	layout_set = true;
	hash_add_rcu(sf_conns, &attachment->node, (unsigned long)attachment->conn);
	/* After the layout: sf_answer reads it as soon as it sees this. */
	smp_store_release(&sf_attached, sf_attached + 1);
	return 0;
}

static int sf_attach(struct file *file, const struct sf_attach *request)
{
	struct sf_attachment *attachment;
	int error;

	if (!sf_layout_fits(&request->layout))
		return -EINVAL;
	attachment = kzalloc(sizeof(*attachment), GFP_KERNEL);
	if (!attachment)
		return -ENOMEM;
	error = sf_get_progs(attachment->progs, request->prog_fd, sizeof(struct sf_ctx),
			     sizeof(struct sf_read_ctx));
	if (!error)
		error = sf_get_conn(attachment, request);
	if (!error) {
		mutex_lock(&sf_mutex);
		error = file->private_data ? -EBUSY : sf_publish(attachment, request);
		if (!error)
			file->private_data = attachment;
		mutex_unlock(&sf_mutex);
	}
	if (error)
		sf_free(attachment);
	return error;
}

/* Detaches and returns the connection, with a reference for the caller. */
static struct fuse_conn *sf_detach(struct file *file, bool *is_foreign)
{
	struct sf_attachment *attachment;
	struct fuse_conn *conn;

	mutex_lock(&sf_mutex);
	attachment = file->private_data;
	file->private_data = NULL;
	if (attachment) {
		hash_del_rcu(&attachment->node);
		WRITE_ONCE(sf_attached, sf_attached - 1);
	}
	mutex_unlock(&sf_mutex);
	if (!attachment)
		return NULL;
	conn = fuse_conn_get(attachment->conn);
	*is_foreign = attachment->foreign;
	/*
	 * From here no request finds it. Requests that did are not waited for: the RCU
	 * section is shared with all sleepable programs of this host, and one of
	 * them may wait for a mount of the daemon that is ending here.
	 */
	call_rcu_tasks_trace(&attachment->rcu, sf_free_rcu);
	return conn;
}

static long sf_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct sf_attach *request;
	struct fuse_conn *conn;
	bool is_foreign;
	long error;

	if (command != SF_IOC_ATTACH && command != SF_IOC_DETACH && command != SF_IOC_FIGURES)
		return -ENOTTY;
	/* Permitted to processes that may read the maps. */
	if (command == SF_IOC_FIGURES)
		return bpf_capable() ? sf_figures_ioctl((void __user *)argument) : -EPERM;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (command == SF_IOC_DETACH) {
		conn = sf_detach(file, &is_foreign);
		if (!conn)
			return -ENOTCONN;
		fuse_conn_put(conn);
		return 0;
	}
	request = memdup_user((void __user *)argument, sizeof(*request));
	if (IS_ERR(request))
		return PTR_ERR(request);
	if (request->size != sizeof(*request) || request->abi_version != SF_ABI_VERSION)
		error = -EPROTO;
	else
		error = sf_attach(file, request);
	kfree(request);
	return error;
}

static int sf_open(struct inode *inode, struct file *file)
{
	/* misc_open stored the device here. */
	file->private_data = NULL;
	return 0;
}

/* A connection whose daemon is exiting. */
struct sf_dying {
	struct delayed_work work;
	struct list_head entry;
	struct fuse_conn *conn;
};

/* Under sf_mutex. */
static LIST_HEAD(sf_dyings);

static void sf_abort_conn(struct fuse_conn *conn)
{
	sf_abort(sf_chan_of(conn, &sf_layout));
	fuse_conn_put(conn);
}

static void sf_abort_work(struct work_struct *work)
{
	struct sf_dying *dying = container_of(to_delayed_work(work), struct sf_dying, work);

	mutex_lock(&sf_mutex);
	list_del(&dying->entry);
	mutex_unlock(&sf_mutex);
	sf_abort_conn(dying->conn);
	kfree(dying);
}

/* Takes over the reference. */
static void sf_abort_later(struct fuse_conn *conn)
{
	struct sf_dying *dying = SF_ABORT_DELAY ? kmalloc(sizeof(*dying), GFP_KERNEL) : NULL;

	if (!dying) {
		sf_abort_conn(conn);
		return;
	}
	dying->conn = conn;
	INIT_DELAYED_WORK(&dying->work, sf_abort_work);
	mutex_lock(&sf_mutex);
	list_add(&dying->entry, &sf_dyings);
	queue_delayed_work(sf_workqueue, &dying->work, SF_ABORT_DELAY);
	mutex_unlock(&sf_mutex);
}

/* At module exit: none can be added. Running ones are waited for later. */
static void sf_abort_now(void)
{
	struct sf_dying *dying, *next;

	mutex_lock(&sf_mutex);
	list_for_each_entry_safe(dying, next, &sf_dyings, entry) {
		if (!cancel_delayed_work(&dying->work))
			continue;
		list_del(&dying->entry);
		sf_abort_conn(dying->conn);
		kfree(dying);
	}
	mutex_unlock(&sf_mutex);
}

static int sf_release(struct inode *inode, struct file *file)
{
	bool is_foreign;
	struct fuse_conn *conn = sf_detach(file, &is_foreign);

	if (conn && is_foreign)
		fuse_conn_put(conn);
	else if (conn)
		sf_abort_later(conn);
	return 0;
}

static const struct file_operations sf_operations = {
	.owner = THIS_MODULE,
	.open = sf_open,
	.release = sf_release,
	.unlocked_ioctl = sf_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice sf_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = SF_DEVICE,
	.fops = &sf_operations,
	.mode = 0600,
};

int sf_attach_init(void)
{
	int error;

	sf_workqueue = alloc_workqueue("shortfuse", SF_WQ_PERCPU, 0);
	if (!sf_workqueue)
		return -ENOMEM;
	error = misc_register(&sf_device);
	if (error)
		destroy_workqueue(sf_workqueue);
	return error;
}

void sf_attach_exit(void)
{
	misc_deregister(&sf_device);
	sf_abort_now();
	/* Wait until everything detached has been queued, and then freed. */
	rcu_barrier_tasks_trace();
	destroy_workqueue(sf_workqueue);
}
