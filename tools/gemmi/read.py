"""Says as JSON what gemmi reads in each of the CIF files FILE...: symmetry, cell, and every atom of it."""
import itertools
import json
import sys

import gemmi

DALTON_PER_A3_IN_G_PER_CM3 = 1.66053906892


def read(path):
    structure = gemmi.read_small_structure(path)
    # By the operations alone: names and numbers of the file are then compared with what they make.
    group = gemmi.find_spacegroup_by_ops(gemmi.GroupOps([gemmi.Op(text) for text in structure.symops]))
    by_name = gemmi.find_spacegroup_by_name(structure.spacegroup_hm)
    structure.determine_and_set_spacegroup("s")
    sites = structure.get_all_unit_cell_sites()
    cell = gemmi.UnitCell(*structure.cell.parameters)
    places = [cell.orthogonalize(site.fract) for site in sites]
    distances = (
        cell.find_nearest_image(a, b, gemmi.Asu.Any).dist() for a, b in itertools.combinations(places, 2)
    )
    mass = sum(site.element.weight for site in sites)
    return {
        "numberByOperations": group.number if group else None,
        "numberByName": by_name.number if by_name else None,
        "numberGiven": structure.spacegroup_number,
        "complaints": structure.check_spacegroup(),
        "volume": cell.volume,
        "density": mass / cell.volume * DALTON_PER_A3_IN_G_PER_CM3,
        "shortest": min(distances, default=None),
        "atoms": [[site.element.atomic_number, *site.fract.tolist()] for site in sites],
    }


print(json.dumps([read(path) for path in sys.argv[1:]]))
