// Package cni is the network plugin of an instance: the role that the VPC CNI
// plugin (amazon-vpc-cni-k8s) has on EKS. A pod gets one of the instance's
// secondary addresses and a link of its own to the instance, which routes.
//
// The plugin runs in the instance's network namespace, once per call, as the
// program that containerd starts under the name "aws-cni". Addresses are given
// to it in its configuration; it asks nobody and knows neither the AWS API nor
// the VPC's router.
package cni

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
)

// Name is what the program must be called (the base name of argv[0]) to be the
// plugin, and the plugin's type in the configuration.
const Name = "aws-cni"

// Main runs the plugin on the environment, standard input and output, and exits
// with status 1 after an error, as the CNI specification has it.
// https://www.cni.dev/docs/spec/
func Main() {
	skel.PluginMainFuncs(skel.CNIFuncs{
		Add:    cmdAdd,
		Del:    cmdDel,
		Check:  cmdCheck,
		GC:     cmdGC,
		Status: cmdStatus,
	}, version.PluginSupports("0.4.0", "1.0.0", "1.1.0"), "CNI plugin "+Name+" of Tarn")
}

// cmdAdd gives a pod its address and link. A repeated ADD of the same
// attachment ends with the same address and result.
func cmdAdd(args *skel.CmdArgs) error {
	conf, at, err := parse(args)
	if err != nil {
		return err
	}
	if err := checkNetns(args.Netns); err != nil {
		return err
	}
	name, err := hostInterface(args)
	if err != nil {
		return err
	}
	state := state{conf.StateDir}
	rec, err := state.acquire(at, conf.Addresses, record{
		HostInterface: name,
		HostPorts:     len(conf.RuntimeConfig.PortMappings) > 0,
	})
	if errors.Is(err, errExhausted) {
		// The words of the VPC CNI, which people search for.
		return types.NewError(types.ErrTryAgainLater, "add cmd: failed to assign an IP address to container",
			fmt.Sprintf("all %d addresses of the instance are in use: delete pods or use a larger instance type", len(conf.Addresses)))
	}
	if err != nil {
		return fmt.Errorf("add cmd: assign an address: %w", err)
	}
	link, err := connect(at, rec, args.Netns, conf.MTU)
	if err == nil {
		err = forwardPorts(at, rec, conf.RuntimeConfig.PortMappings)
	}
	if err != nil {
		err = fmt.Errorf("add cmd: set up the network of %s: %w", at, err)
		return errors.Join(err, remove(state, at, rec))
	}
	return types.PrintResult(result(link, rec, args), conf.CNIVersion)
}

func result(link link, rec record, args *skel.CmdArgs) *current.Result {
	return &current.Result{
		CNIVersion: current.ImplementedSpecVersion,
		Interfaces: []*current.Interface{
			{Name: rec.HostInterface, Mac: link.hostMAC.String(), Mtu: link.mtu},
			{Name: args.IfName, Mac: link.podMAC.String(), Mtu: link.mtu, Sandbox: args.Netns},
		},
		IPs: []*current.IPConfig{{
			Interface: current.Int(1),
			Address:   net.IPNet{IP: rec.Address.AsSlice(), Mask: net.CIDRMask(32, 32)},
		}},
	}
}

// cmdDel undoes ADD. What is gone already is fine.
func cmdDel(args *skel.CmdArgs) error {
	conf, at, err := parse(args)
	if err != nil {
		return err
	}
	state := state{conf.StateDir}
	rec, ok, err := state.lookup(at)
	if err == nil && ok {
		err = remove(state, at, rec)
	}
	if err != nil {
		return fmt.Errorf("del cmd: %w", err)
	}
	return nil
}

// remove ends an attachment. The address is given back last: nobody else may
// get it while packets to it still find the old pod.
func remove(state state, at attachment, rec record) error {
	if err := unforwardPorts(at, rec); err != nil {
		return err
	}
	if err := disconnect(at, rec); err != nil {
		return err
	}
	return state.release(at)
}

// cmdCheck verifies that what ADD made is still there.
func cmdCheck(args *skel.CmdArgs) error {
	conf, at, err := parse(args)
	if err != nil {
		return err
	}
	rec, ok, err := state{conf.StateDir}.lookup(at)
	if err != nil {
		return fmt.Errorf("check cmd: %w", err)
	}
	if !ok {
		return types.NewError(types.ErrUnknownContainer, "check cmd: the container has no address", at.String())
	}
	if err := conf.checkPrevious(rec.Address); err != nil {
		return fmt.Errorf("check cmd: %w", err)
	}
	if err := inspect(at, rec, args.Netns); err != nil {
		return fmt.Errorf("check cmd: %w", err)
	}
	return nil
}

// cmdGC ends all attachments that the runtime does not know any more.
func cmdGC(args *skel.CmdArgs) error {
	conf, err := parseConf(args.StdinData)
	if err != nil {
		return err
	}
	valid := make(map[attachment]bool)
	for _, v := range conf.ValidAttachments {
		valid[attachment{v.ContainerID, v.IfName}] = true
	}
	state := state{conf.StateDir}
	all, err := state.list()
	if err != nil {
		return fmt.Errorf("gc cmd: %w", err)
	}
	var errs []error
	for at, rec := range all {
		if !valid[at] {
			if err := remove(state, at, rec); err != nil {
				errs = append(errs, fmt.Errorf("gc cmd: remove %s: %w", at, err))
			}
		}
	}
	return errors.Join(errs...)
}

// cmdStatus fails when an ADD would.
func cmdStatus(args *skel.CmdArgs) error {
	conf, err := parseConf(args.StdinData)
	if err != nil {
		return err
	}
	free, err := state{conf.StateDir}.free(conf.Addresses)
	if err != nil {
		return fmt.Errorf("status cmd: %w", err)
	}
	if free == 0 {
		return types.NewError(types.ErrPluginNotAvailable, "no free address",
			fmt.Sprintf("all %d addresses of the instance are in use", len(conf.Addresses)))
	}
	return nil
}

func parse(args *skel.CmdArgs) (*conf, attachment, error) {
	conf, err := parseConf(args.StdinData)
	return conf, attachment{args.ContainerID, args.IfName}, err
}

// checkNetns refuses the namespace of the instance itself, before anything is
// changed in it.
func checkNetns(netns string) error {
	own, err := os.Stat("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("look at the own network namespace: %w", err)
	}
	pod, err := os.Stat(netns)
	if err != nil {
		return types.NewError(types.ErrInvalidNetNS, "add cmd: the pod's network namespace cannot be used", err.Error())
	}
	if os.SameFile(own, pod) {
		return types.NewError(types.ErrInvalidNetNS, "add cmd: the pod's network namespace is the instance's", netns)
	}
	return nil
}
