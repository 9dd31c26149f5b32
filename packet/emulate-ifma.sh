#!/bin/sh
# Runs a test binary on an emulated processor that has AVX-512 IFMA: a Linux kernel boots in Bochs,
# with the binary in its initial file system. For machines whose own processor lacks it.
set -eu

usage() {
    cat <<'TEXT'
usage: packet/emulate-ifma.sh TEST-BINARY [ARGUMENT...]

Boots Linux in Bochs on a processor with AVX-512 IFMA, runs TEST-BINARY there with the arguments,
prints its output and exits with its status. The build says where the binaries are:

    cargo test -p shoal-packet --no-default-features --no-run
    packet/emulate-ifma.sh target/debug/deps/shoal_packet-0123456789abcdef ifma --include-ignored

Without AWS-LC, as Bochs 2.7 gets something in its assembly wrong (the scalar back end fails its
own tests there). Booting takes about two minutes, and tests take about a hundred times as long
as they should: name few.

Needs, on Debian 12:
    apt-get install bochs isolinux syslinux-common xorriso cpio busybox-static linux-image-amd64

Environment:
    CPU      Bochs' processor model, corei7_icelake_u unless told; no other was tried
    KERNEL   the kernel, the newest /boot/vmlinuz-*-amd64 unless told; must be readable
    SECONDS_LIMIT  give up after so many seconds, 900 unless told; exit status 124
    MEGABYTES      memory of the emulated machine, 512 unless told
TEXT
}

fail() {
    echo "emulate-ifma: $*" >&2
    exit 2
}

case "${1:-}" in
'' | -h | --help)
    usage
    [ $# -gt 0 ] && exit 0
    exit 2
    ;;
esac

binary=$1
shift
cpu=${CPU:-corei7_icelake_u}
limit=${SECONDS_LIMIT:-900}
memory=${MEGABYTES:-512}
kernel=${KERNEL:-$(ls /boot/vmlinuz-*-amd64 2>/dev/null | sort -V | tail -n 1)}
bios=/usr/share/bochs/BIOS-bochs-latest
vga=/usr/share/bochs/VGABIOS-lgpl-latest
isolinux=/usr/lib/ISOLINUX/isolinux.bin
ldlinux=/usr/lib/syslinux/modules/bios/ldlinux.c32

[ -f "$binary" ] && [ -x "$binary" ] || fail "$binary is not a program"
for tool in bochs xorriso cpio gzip busybox ldd; do
    command -v "$tool" >/dev/null || fail "$tool is not installed (--help says what is needed)"
done
for file in "$bios" "$vga" "$isolinux" "$ldlinux"; do
    [ -r "$file" ] || fail "$file is missing (--help says what to install)"
done
[ -n "$kernel" ] && [ -r "$kernel" ] || fail "no kernel: install linux-image-amd64 or set KERNEL"
bochs --help cpu 2>&1 | grep -qx "$cpu" || fail "this Bochs has no processor model $cpu"

work=$(mktemp -d)
emulator=
clean() {
    [ -z "$emulator" ] || kill "$emulator" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

# The initial file system: busybox, the program with its libraries, and what runs it.
root=$work/root
mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$work/iso/isolinux"
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$binary" "$root/test"
strip "$root/test" 2>/dev/null || true
for library in $(ldd "$binary" 2>/dev/null | grep -o '/[^ ]*' || true); do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
: >"$root/arguments"
for argument in "$@"; do
    printf '%s\n' "$argument" >>"$root/arguments"
done
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
# Arguments, one a line.
set --
while IFS= read -r argument; do set -- "$@" "$argument"; done </arguments
echo "@begin $(/bin/busybox grep -m1 -ow avx512ifma /proc/cpuinfo || echo no avx512ifma)"
TMPDIR=/tmp /test "$@"
echo "@end $?"
# Whoever reads that turns the machine off: it would lose what is on its way to the console.
while :; do /bin/busybox sleep 1000; done
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) | gzip -1 >"$work/iso/initrd"

cp "$kernel" "$work/iso/kernel"
cp "$isolinux" "$ldlinux" "$work/iso/isolinux/"
# Features of the processor that Bochs 2.7 announces and the kernel trips over: the size of PKRU's
# state, XSAVEC, XSAVES and some that only a kernel uses; by number (arch/x86/include/asm/cpufeatures.h).
trips=515,124,321,323,308,295,514,288,298,145,297,580,519,596
cat >"$work/iso/isolinux/isolinux.cfg" <<MENU
default test
label test
    kernel /kernel
    append initrd=/initrd console=ttyS0,115200 quiet loglevel=3 clearcpuid=$trips nofsgsbase nosmap nosmep nopcid noinvpcid mitigations=off acpi=off noapic nolapic hpet=disable pci=off nomce lpj=100000 lsm= nokaslr random.trust_cpu=on panic=-1
MENU
xorriso -as mkisofs -quiet -o "$work/boot.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat \
    -no-emul-boot -boot-load-size 4 -boot-info-table "$work/iso" 2>"$work/xorriso.log" ||
    fail "xorriso failed: $(cat "$work/xorriso.log")"

cat >"$work/bochsrc" <<BOCHS
display_library: rfb, options="timeout=0"
romimage: file=$bios
vgaromimage: file=$vga
cpu: model=$cpu, count=1, ips=100000000, reset_on_triple_fault=0
memory: guest=$memory, host=$memory
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
speaker: enabled=0, mode=none
plugin_ctrl: gameport=0, biosdev=0
clock: sync=none
boot: cdrom
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$work/boot.iso, status=inserted
com1: enabled=1, mode=file, dev=$work/serial
log: $work/log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
BOCHS
: >"$work/serial"
# Debian's Bochs has its debugger built in, which must be told to continue.
printf 'continue\nquit\n' >"$work/commands"
bochs -q -f "$work/bochsrc" -rc "$work/commands" >"$work/bochs.out" 2>&1 </dev/null &
emulator=$!

waited=0
while ! grep -q '^@end' "$work/serial"; do
    if ! kill -0 "$emulator" 2>/dev/null; then
        emulator=
        grep -q '^@end' "$work/serial" && break
        tail -n 20 "$work/bochs.out" "$work/log" "$work/serial" >&2 || true
        fail "the emulated machine stopped early"
    fi
    if [ "$waited" -ge "$limit" ]; then
        cat "$work/serial" >&2
        echo "emulate-ifma: no end after $limit s" >&2
        exit 124
    fi
    sleep 1
    waited=$((waited + 1))
done
tr -d '\r' <"$work/serial" | sed -n '/^@begin/,/^@end/p'
exit "$(tr -d '\r' <"$work/serial" | sed -n 's/^@end //p')"
