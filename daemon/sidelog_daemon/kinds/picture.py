"""PICTURE: images, batches, figures, feature maps and label maps, as the recipe says."""

from __future__ import annotations

from sidelog_daemon.kinds import fields
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.render import render_picture
from sidelog_daemon.render.encode import MAX_SIDES
from sidelog_daemon.sink import summaries
from sidelog_shared.recipe import Layout, Recipe
from sidelog_shared.records import Record


def picture_content(record: Record, *, max_pixels: int) -> Content:
    """One event; of calls that tensorboardX does not have, also the recipe in words.

    Raises:
        MalformedHeader: not one buffer, or no recipe.
        SnapshotError: a tensor that cannot be drawn so.
    """
    fields.check_count(record, 1)
    recipe = Recipe.from_map(record.options.get("recipe"))
    picture = render_picture(fields.tensor(record, 0), recipe, max_pixels=max_pixels)
    event = summaries.image_event(
        record.tag, picture.encoded, picture.width, picture.height, picture.channels, record.step, record.wall_time
    )
    warnings = []
    if picture.nonfinite:
        warnings.append(f"{picture.nonfinite:,} values are NaN or infinite, shown in magenta")
    if picture.out_of_range:
        warnings.append(f"{picture.out_of_range:,} labels are out of range, shown in magenta")
    if picture.stride > 1:
        warnings.append(f"only one line and column in {picture.stride} is drawn")
    if picture.tiles_left_out:
        warnings.append(f"the last {picture.tiles_left_out:,} tiles are left out")
    thinned = picture.stride > 1 or picture.tiles_left_out
    if thinned:
        side = f"a side of a {recipe.format.value} at most {MAX_SIDES[recipe.format]:,}"
        warnings[-1] += f": the whole is too large for one picture (--max-pixels is {max_pixels:,}, {side})"
    noted = {} if _is_tensorboardx_call(recipe) and not thinned else picture.description
    return Content((event,), recipe=noted, warning="; ".join(warnings))


def _is_tensorboardx_call(recipe: Recipe) -> bool:
    plain = Recipe(recipe.layout, recipe.dataformats) if recipe.layout in (Layout.IMAGE, Layout.MOSAIC) else None
    return recipe == plain
