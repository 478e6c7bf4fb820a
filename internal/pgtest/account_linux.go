package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// lookUp finds the user and group that run the server when we are root.
func lookUp() (uid, gid int, err error) {
	u, err := user.Lookup(account)
	if err != nil {
		return 0, 0, fmt.Errorf("PostgreSQL refuses to run as root, and there is nobody else: %w", err)
	}
	if uid, err = strconv.Atoi(u.Uid); err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	return uid, gid, err
}

// ownedByAccount gives a directory to whoever runs the server.
func ownedByAccount(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := lookUp()
	if err != nil {
		return err
	}
	return os.Chown(dir, uid, gid)
}

// runAsAccount makes a command run as somebody who is not root. The server ends with us, even
// when we are killed and cannot see to it.
func runAsAccount(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := lookUp()
	if err != nil {
		return err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return nil
}
