package main

import (
	"os"
	"strings"

	"gopkg.in/gcfg.v1"
)

// overrides are what a cloud configuration file says of AWS's endpoints.
type overrides struct {
	region    string
	endpoints []endpoint
}

type endpoint struct{ service, region, url, signingRegion string }

// readCloudConfig reads the file of --cloud-config, in the form of the AWS cloud
// provider's: a section ServiceOverride for each endpoint. "" is no file.
func readCloudConfig(path string) (overrides, error) {
	if path == "" {
		return overrides{}, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return overrides{}, err
	}
	return parseCloudConfig(string(text))
}

func parseCloudConfig(text string) (overrides, error) {
	var file struct {
		Global struct {
			Region, Zone string
		}
		ServiceOverride map[string]*struct {
			Service, Region, URL, SigningRegion, SigningMethod, SigningName string
		}
	}
	// A file has more than what is read here.
	if err := gcfg.FatalOnly(gcfg.ReadStringInto(&file, text)); err != nil {
		return overrides{}, err
	}
	o := overrides{region: file.Global.Region}
	if o.region == "" && len(file.Global.Zone) > 1 {
		o.region = file.Global.Zone[:len(file.Global.Zone)-1]
	}
	for _, s := range file.ServiceOverride {
		o.endpoints = append(o.endpoints, endpoint{
			strings.TrimSpace(s.Service), strings.TrimSpace(s.Region), strings.TrimSpace(s.URL), strings.TrimSpace(s.SigningRegion),
		})
	}
	return o, nil
}

// apply sets a client's endpoint if there is one for its service and region.
func (o overrides) apply(service string, url **string, region *string) {
	for _, e := range o.endpoints {
		if e.service != service || e.region != "" && e.region != *region {
			continue
		}
		*url = new(e.url)
		if e.signingRegion != "" {
			*region = e.signingRegion
		}
		return
	}
}
