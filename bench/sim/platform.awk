# platform.awk - a platform file for SimGrid: nodes in groups, every group on a core of the network.
#   awk -v nodes=1024 -f platform.awk
#
# The model ("uplink"): a node's eight network cards of 25 GB/s are one link of 200 GB/s. Groups of 64 nodes (Aurora: 166
# groups) have links to the core that stand for their two links of 25 GB/s to each of 165 other groups, of which
# adaptive routing by way of a third group uses half: 165 * 2 * 25 / 2 GB/s. A message takes 1 us in a group, 1.5 us
# beyond.
BEGIN {
    group = 64
    groups = int((nodes + group - 1) / group)
    print "<?xml version='1.0'?><!DOCTYPE platform SYSTEM \"https://simgrid.org/simgrid.dtd\">"
    print "<platform version=\"4.1\"><zone id=\"all\" routing=\"Floyd\">"
    print "<zone id=\"core\" routing=\"Full\"><router id=\"middle\"/></zone>"
    for (g = 0; g < groups; g++) {
        last = (g + 1) * group < nodes ? (g + 1) * group - 1 : nodes - 1
        printf "<cluster id=\"g%d\" prefix=\"n\" suffix=\"\" radical=\"%d-%d\" ", g, g * group, last
        printf "speed=\"1Gf\" bw=\"200GBps\" lat=\"0.5us\" router_id=\"r%d\"/>\n", g
        printf "<link id=\"up%d\" bandwidth=\"4125GBps\" latency=\"0.25us\" sharing_policy=\"SPLITDUPLEX\"/>\n", g
    }
    for (g = 0; g < groups; g++) {
        printf "<zoneRoute src=\"g%d\" dst=\"core\" gw_src=\"r%d\" gw_dst=\"middle\">", g, g
        printf "<link_ctn id=\"up%d\" direction=\"UP\"/></zoneRoute>\n", g
    }
    print "</zone></platform>"
}
